//! What the kinds promise to users of `kubectl` and to controllers, beyond their rules.

use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::examples;
use crate::schema::KINDS;
use crate::server::{client, namespace, object, objects, server, typed};

/// What etcd takes in one request is 1.5 MiB; the longest script is a MiB.
const MEBIBYTE: usize = 1_048_576;

fn job(name: &str, script: &str) -> Value {
    object(
        "CommandJob",
        name,
        &json!({"target": {"sessionPoolRef": {"name": "shell"}}, "script": script}),
    )
}

#[tokio::test]
async fn a_fresh_object_never_reads_as_done() {
    let client = client().await;
    let namespace = namespace("fresh");
    for (kind, _) in KINDS {
        let mut example = examples::of_kind(kind).remove(0);
        // Users cannot write the status, not even when they create an object.
        example["status"] = json!({"observedGeneration": 1});
        let created = objects(&client, kind, &namespace)
            .create(&PostParams::default(), &typed(&example))
            .await
            .expect("the example is accepted");
        assert_eq!(created.data["status"], json!({"observedGeneration": -1}), "{kind}");
    }
}

#[tokio::test]
async fn jobs_are_selected_by_phase_and_by_pool_on_the_server() {
    let client = client().await;
    let namespace = namespace("phases");
    let api = objects(&client, "CommandJob", &namespace);
    for (name, phase) in [("one", Some("Running")), ("two", Some("Succeeded")), ("three", None)] {
        api.create(&PostParams::default(), &typed(&job(name, "true")))
            .await
            .expect("accepted");
        if let Some(phase) = phase {
            let status = json!({"status": {"observedGeneration": 1, "phase": phase}});
            api.patch_status(name, &PatchParams::default(), &Patch::Merge(status))
                .await
                .expect("accepted");
        }
    }
    let names = async |selector: &str| -> Vec<String> {
        let list = api.list(&ListParams::default().fields(selector)).await.expect("a list");
        list.items.into_iter().filter_map(|it| it.metadata.name).collect()
    };
    assert_eq!(names("status.phase=Running").await, ["one"]);
    assert_eq!(
        names("status.phase!=Succeeded,status.phase!=Failed").await,
        ["one", "three"]
    );
    assert_eq!(
        names("spec.target.sessionPoolRef.name=shell").await,
        ["one", "three", "two"]
    );
    assert!(names("spec.target.sessionPoolRef.name=other").await.is_empty());
}

#[tokio::test]
async fn a_script_of_a_mebibyte_can_be_created_and_applied_by_the_server() {
    let client = client().await;
    let namespace = namespace("large");
    let script = "#".repeat(MEBIBYTE);
    let api = objects(&client, "CommandJob", &namespace);
    api.create(&PostParams::default(), &typed(&job("created", &script)))
        .await
        .expect("created");
    let apply = PatchParams::apply("test");
    api.patch("applied", &apply, &Patch::Apply(job("applied", &script)))
        .await
        .expect("applied");
    for name in ["created", "applied"] {
        let stored = api.get(name).await.expect("stored");
        assert_eq!(stored.data["spec"]["script"].as_str().map(str::len), Some(MEBIBYTE));
        api.delete(name, &DeleteParams::default()).await.expect("deleted");
    }
    // Client-side apply copies the object into an annotation, of which 256 KiB are allowed.
    let arguments = ["apply", "--namespace", &namespace, "-f", "-"];
    let error = server()
        .kubectl()
        .run_with_input(&arguments, &job("by-client", &script).to_string())
        .expect_err("the annotation is too long");
    assert!(error.to_string().contains("metadata.annotations: Too long"), "{error}");
    let arguments = ["apply", "--server-side", "--namespace", &namespace, "-f", "-"];
    server()
        .kubectl()
        .run_with_input(&arguments, &job("by-server", &script).to_string())
        .expect("server-side apply takes it");
}

#[test]
fn kubectl_explains_every_kind_and_field_in_words() {
    let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for (_, plural) in KINDS {
        let name = format!("{plural}.lifeguard.dev");
        let printed = server()
            .kubectl()
            .run(&["explain", &name])
            .expect("the server has the kind's documentation");
        let description = crate::schema::schema(plural)["description"]
            .as_str()
            .expect("described")
            .to_owned();
        assert!(flat(&printed).contains(&flat(&description)), "{printed}");
    }
    for (field, words) in [
        (
            "sessionpools.spec.scaleConfiguration.maxConcurrentSessions",
            &["How many sessions may exist at the same time."][..],
        ),
        // Of an optional enum: its own text, the default, and each value.
        (
            "resourcegroups.spec.deletionPolicy",
            &[
                "Default: `Delete` for what this object created",
                "`Delete`: What this object manages in Azure is deleted",
                "`Retain`: Everything stays in Azure",
            ],
        ),
        (
            "resourcegroups.spec.managementPolicy",
            &[
                "What Lifeguard may change in Azure. Default `Enforce`.",
                "`ObserveOnly`: Lifeguard only observes.",
            ],
        ),
    ] {
        let printed = server()
            .kubectl()
            .run(&["explain", "--api-version=lifeguard.dev/v1alpha1", field])
            .expect("the field is explained");
        for words in words {
            assert!(flat(&printed).contains(words), "{printed}");
        }
    }
}

#[test]
fn a_misspelled_field_is_refused_by_kubectl() {
    let namespace = namespace("misspelled");
    let arguments = ["apply", "--namespace", &namespace, "-f", "-"];
    let mut misspelled = job("misspelled", "true");
    misspelled["spec"]["timeoutSecond"] = json!(5);
    let error = server()
        .kubectl()
        .run_with_input(&arguments, &misspelled.to_string())
        .expect_err("the field does not exist");
    assert!(
        error.to_string().contains("unknown field \"spec.timeoutSecond\""),
        "{error}"
    );
}

#[test]
fn short_names_categories_and_columns_are_those_of_the_documentation() {
    let namespace = namespace("columns");
    let folder = crate::server::repository("examples/quickstart");
    let arguments = ["apply", "--namespace", &namespace, "-f", &folder.to_string_lossy()];
    server().kubectl().run(&arguments).expect("the quickstart is accepted");
    let get = |what: &str| {
        server()
            .kubectl()
            .run(&["get", "--namespace", &namespace, what])
            .expect("the kind is known")
    };
    for (short, columns) in [
        ("azacct", "NAME READY REASON SUBSCRIPTION AGE"),
        ("azrg", "NAME READY REASON STATE LOCATION AGE"),
        ("azsp", "NAME READY REASON TYPE MAX STATE AGE"),
        ("azcmd", "NAME STATUS REASON EXIT DURATION TARGET AGE"),
    ] {
        let printed = get(short);
        let header: Vec<_> = printed.lines().next().unwrap_or_default().split_whitespace().collect();
        assert_eq!(header.join(" "), columns);
    }
    let all = get("lifeguard");
    for name in ["azureaccount", "resourcegroup", "sessionpool", "commandjob"] {
        assert!(all.contains(&format!("{name}.lifeguard.dev/")), "{all}");
    }
    let azure = get("azure");
    assert!(
        azure.contains("sessionpool.lifeguard.dev/") && azure.contains("resourcegroup.lifeguard.dev/"),
        "{azure}"
    );
    assert!(!azure.contains("commandjob"), "{azure}");
}
