//! The recipes do what the page shows: its files are written, its commands are run in order by a shell with the real
//! `kubectl`, and what they print is compared. So does the first page.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::world::{World, chart, control_plane, script};

#[path = "../documentation/blocks.rs"]
mod blocks;

use blocks::Block;

/// The recipe with many jobs has no more than these here.
const COUNT: &str = "12";

fn repository() -> PathBuf {
    chart().join("../..")
}

/// A folder in which a reader has checked out the examples, with a kubeconfig whose context has the test's namespace.
async fn readers_folder(world: &World) -> PathBuf {
    let folder = world.folder().join("reader");
    std::fs::create_dir(&folder).expect("a folder");
    std::os::unix::fs::symlink(repository().join("examples"), folder.join("examples")).expect("a link");
    std::fs::copy(control_plane().kubeconfig_path(), folder.join("kubeconfig")).expect("a kubeconfig");
    let namespace = format!("kubectl config set-context --current --namespace={}", world.namespace);
    let set = shell(&folder, namespace).await;
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    folder
}

/// Runs a text by `bash`, as it is typed: what fails ends it.
async fn shell(folder: &Path, text: String) -> Output {
    let tools = lifeguard_local::Tools::locate().expect("the tools");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", &text])
        .current_dir(folder)
        .env("PATH", format!("{}:{path}", tools.folder().display()))
        .env("KUBECONFIG", folder.join("kubeconfig"))
        .env("COUNT", COUNT);
    tokio::task::spawn_blocking(move || bash.output())
        .await
        .expect("no panic")
        .expect("bash can be run")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recipe_prints_what_its_page_shows() {
    let world = World::new("recipes").await;
    world.behave(&json!({"sessions": {"lostWriteProbability": 0.0}})).await;
    world.pool("shell", 5).await;
    let folder = readers_folder(&world).await;
    let page = std::fs::read_to_string(repository().join("docs/recipes.md")).expect("the page");
    let page = blocks::blocks(&page);
    let mut commands = 0;
    for (at, block) in page.iter().enumerate() {
        match (block.language.as_str(), block.mark.as_str()) {
            ("yaml", file) if !file.is_empty() => std::fs::write(folder.join(file), &block.text).expect("a file"),
            ("sh", "run") => {
                commands += 1;
                let output = shell(&folder, block.text.clone()).await;
                assert_as_shown(block, page.get(at + 1), &output);
            }
            _ => {}
        }
    }
    assert!(commands > 0, "the page has no commands");
}

/// Compares what a command did with the block that follows it.
fn assert_as_shown(command: &Block, next: Option<&Block>, output: &Output) {
    let place = format!("docs/recipes.md:{}", command.line);
    let printed = String::from_utf8_lossy(&output.stdout);
    let refusal = String::from_utf8_lossy(&output.stderr);
    let shown = next
        .filter(|it| it.language == "text")
        .map(|it| (it.mark.as_str(), &it.text));
    if let Some(("refused", words)) = shown {
        assert!(!output.status.success(), "{place} is not refused: {printed}");
        assert!(refusal.contains(words.trim()), "{place}: {refusal}");
        return;
    }
    assert!(output.status.success(), "{place}: {printed}\n{refusal}");
    if let Some(("printed", text)) = shown {
        assert_eq!(&printed, text, "{place} prints something else");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_that_the_first_page_shows_is_that_of_its_job() {
    let world = World::new("first-page").await;
    world.pool("shell", 5).await;
    let page = std::fs::read_to_string(repository().join("README.md")).expect("the page");
    let shown: Vec<Value> = blocks::blocks(&page)
        .iter()
        .filter(|it| it.language == "yaml")
        .map(|it| serde_saphyr::from_str(&it.text).expect("valid YAML"))
        .collect();
    let [applied, read_back] = shown.as_slice() else {
        panic!("the page shows something else than a job and its status: {shown:?}");
    };
    world
        .run("hello", &script(applied["spec"]["script"].as_str().expect("a script")))
        .await;
    let job = world.read("CommandJob", "hello").await.expect("the job");
    assert_part_of(&read_back["status"], &job.data["status"], "status");
}

/// Every member of `part` is one of `whole`.
fn assert_part_of(part: &Value, whole: &Value, path: &str) {
    match part {
        Value::Object(members) => {
            for (name, member) in members {
                assert_part_of(member, &whole[name], &format!("{path}.{name}"));
            }
        }
        _ => assert_eq!(part, whole, "{path}"),
    }
}
