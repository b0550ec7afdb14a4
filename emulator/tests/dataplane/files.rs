//! `/files`, in both families of API versions.

use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::endpoint::{Azure, VERSION, send};

const OLDER: &str = "2024-02-02-preview";

#[tokio::test]
async fn a_file_goes_up_is_listed_read_and_removed() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.shell_pool().await;
    assert_eq!(
        pool.get("files", "session-1").await.body,
        json!({ "$id": "1", "value": [] })
    );
    let up = pool
        .upload("session-1", "/mnt/data", "cert.txt", b"content".to_vec())
        .await;
    assert_eq!(up.status, StatusCode::OK);
    assert_eq!(
        (&up.body["name"], &up.body["sizeInBytes"], &up.body["type"]),
        (&json!("cert.txt"), &json!(7), &json!(""))
    );
    assert_eq!(
        pool.shell("session-1", "cat /mnt/data/cert.txt; echo more >>cert.txt")
            .await,
        "content"
    );
    let one = pool.get("files/cert.txt", "session-1").await;
    assert_eq!(
        (&one.body["sizeInBytes"], &one.body["type"], &one.body["directory"]),
        (&json!(12), &json!("file"), &json!("/mnt/data"))
    );
    let content = pool
        .request(Method::GET, "files/cert.txt/content", "session-1", VERSION)
        .send()
        .await
        .unwrap();
    assert_eq!(content.headers()["content-length"], "12");
    assert_eq!(content.text().await.unwrap(), "contentmore\n");
    assert_eq!(
        pool.delete("files/cert.txt", "session-1").await.status,
        StatusCode::NO_CONTENT
    );
    let gone = pool.get("files/cert.txt", "session-1").await;
    assert_eq!((gone.status, gone.code()), (StatusCode::NOT_FOUND, "FileNotFound"));
}

#[tokio::test]
async fn directories_are_given_by_path_and_listed_recursively_on_demand() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.shell_pool().await;
    pool.upload("session-1", "a/b", "f", b"1".to_vec()).await;
    assert_eq!(pool.shell("session-1", "cat a/b/f; touch g").await, "1");
    let list = async |query: &[(&str, &str)]| {
        let answer = send(pool.request(Method::GET, "files", "session-1", VERSION).query(query)).await;
        let entries = answer.body["value"].as_array().unwrap().clone();
        let line = |entry: &serde_json::Value| {
            format!(
                "{}/{}",
                entry["directory"].as_str().unwrap(),
                entry["name"].as_str().unwrap()
            )
        };
        entries.iter().map(line).collect::<Vec<_>>()
    };
    assert_eq!(list(&[]).await, ["/mnt/data/a", "/mnt/data/g"]);
    assert_eq!(list(&[("path", "/mnt/data/a/b")]).await, ["/mnt/data/a/b/f"]);
    assert_eq!(
        list(&[("recursive", "true")]).await,
        ["/mnt/data/a", "/mnt/data/g", "/mnt/data/a/b", "/mnt/data/a/b/f"]
    );
    let content = pool
        .request(Method::GET, "files/f/content", "session-1", VERSION)
        .query(&[("path", "a/b")]);
    assert_eq!(content.send().await.unwrap().text().await.unwrap(), "1");
}

#[tokio::test]
async fn names_and_paths_that_the_service_does_not_take_are_refused() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.shell_pool().await;
    for (directory, name) in [(".hidden", "f"), ("a/../..", "f"), ("..", "f"), ("", "a*b"), ("", "..")] {
        let answer = pool.upload("session-1", directory, name, b"x".to_vec()).await;
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::BAD_REQUEST, "InvalidPath"),
            "{directory} {name}"
        );
    }
    let up = pool.get("files/%2e%2e%2fsecret/content", "session-1").await;
    assert_eq!(up.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_link_in_a_session_leads_the_files_api_nowhere_else() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.shell_pool().await;
    pool.shell(
        "session-1",
        "ln -s /etc/passwd absolute; ln -s ../../ca.key relative; ln -s ../.. parent; mkfifo pipe",
    )
    .await;
    for name in ["absolute", "relative"] {
        assert_eq!(
            pool.get(&format!("files/{name}/content"), "session-1").await.status,
            StatusCode::NOT_FOUND,
            "{name}"
        );
        assert_eq!(
            pool.upload("session-1", "", name, b"x".to_vec()).await.status,
            StatusCode::NOT_FOUND,
            "{name}"
        );
    }
    assert_eq!(
        pool.upload("session-1", "parent", "planted", b"x".to_vec())
            .await
            .status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        pool.get("files/pipe/content", "session-1").await.status,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn an_upload_may_have_as_many_bytes_as_the_limit_and_not_one_more() {
    let azure = Azure::start(json!({})).await;
    let live = &azure.emulator.state().behaviour().sessions;
    assert_eq!(live.file_limit_bytes, 128 * 1024 * 1024);
    let limit = 3_000_000;
    azure.switch(json!({ "sessions": { "fileLimitBytes": limit } })).await;
    let pool = azure.shell_pool().await;
    let up = pool.upload("session-1", "", "f", vec![b'x'; limit]).await;
    assert_eq!(up.status, StatusCode::OK);
    assert_eq!(pool.shell("session-1", "wc -c <f").await, format!("{limit}\n"));
    let over = pool.upload("session-1", "", "g", vec![b'x'; limit + 1]).await;
    assert_eq!(
        (over.status, over.code()),
        (StatusCode::PAYLOAD_TOO_LARGE, "FileTooLarge")
    );
    assert_eq!(pool.shell("session-1", "ls").await, "f\n");
    let content = pool
        .request(Method::GET, "files/f/content", "session-1", VERSION)
        .send()
        .await
        .unwrap();
    assert_eq!(content.bytes().await.unwrap().len(), limit);
}

#[tokio::test]
async fn an_upload_without_its_part_is_refused() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.shell_pool().await;
    let request = || pool.request(Method::POST, "files", "session-1", VERSION);
    let other = Form::new().part("other", Part::bytes(&b"x"[..]).file_name("f"));
    assert_eq!(send(request().multipart(other)).await.status, StatusCode::BAD_REQUEST);
    let unnamed = Form::new().part("file", Part::bytes(&b"x"[..]));
    assert_eq!(send(request().multipart(unnamed)).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        send(request().body("no multipart")).await.status,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn the_older_family_wraps_files_in_properties() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.shell_pool().await;
    let form = Form::new().part("file", Part::bytes(&b"content"[..]).file_name("f.txt"));
    let up = send(
        pool.request(Method::POST, "files/upload", "session-1", OLDER)
            .multipart(form),
    )
    .await;
    let properties = &up.body["value"][0]["properties"];
    assert_eq!(
        (&properties["filename"], &properties["size"]),
        (&json!("f.txt"), &json!(7))
    );
    let list = send(pool.request(Method::GET, "files", "session-1", OLDER)).await;
    assert_eq!(list.body["value"][0]["properties"]["filename"], "f.txt");
    let content = pool
        .request(Method::GET, "files/content/f.txt", "session-1", OLDER)
        .send()
        .await
        .unwrap();
    assert_eq!(content.text().await.unwrap(), "content");
    let removed = send(pool.request(Method::DELETE, "files/f.txt", "session-1", OLDER)).await;
    assert_eq!(removed.status, StatusCode::OK);
    let newer_path = send(
        pool.request(Method::POST, "executions", "session-1", OLDER)
            .json(&json!({ "shellCommand": "true" })),
    )
    .await;
    assert_eq!(
        (newer_path.status, newer_path.code()),
        (StatusCode::BAD_REQUEST, "InvalidPath")
    );
}

#[tokio::test]
async fn of_an_upload_that_is_named_by_its_path_the_last_part_counts() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.shell_pool().await;
    // As Semantic Kernel's plugin uploads and reads.
    let form = Form::new().part("file", Part::bytes(&b"content"[..]).file_name("/mnt/data/local.txt"));
    let up = send(
        pool.request(Method::POST, "files/upload", "session-1", OLDER)
            .multipart(form),
    )
    .await;
    assert_eq!(up.body["value"][0]["properties"]["filename"], "local.txt", "{up:?}");
    assert_eq!(pool.shell("session-1", "cat local.txt").await, "content");
    // The newer endpoint has `path`, and nobody has told what it does with such a name.
    let up = pool.upload("session-1", "", "sub/f", b"x".to_vec()).await;
    assert_eq!((up.status, up.code()), (StatusCode::BAD_REQUEST, "InvalidPath"));
    for (path, version) in [
        ("files/sub/f/content", VERSION),
        ("files/sub/f", VERSION),
        ("files/content/sub/f", OLDER),
    ] {
        let answer = send(pool.request(Method::GET, path, "session-1", version)).await;
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::BAD_REQUEST, "InvalidPath"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn what_is_before_a_slash_is_a_directory_where_the_switch_says_so() {
    let azure = Azure::start(json!({ "slashesInFileNames": "Directory" })).await;
    let pool = azure.shell_pool().await;
    let up = pool.upload("session-1", "", "sub/deep/f", b"content".to_vec()).await;
    assert_eq!(
        (&up.body["name"], &up.body["directory"]),
        (&json!("f"), &json!("/mnt/data/sub/deep")),
        "{up:?}"
    );
    let form = Form::new().part("file", Part::bytes(&b"older"[..]).file_name("/mnt/data/sub/g"));
    let request = pool.request(Method::POST, "files/upload", "session-1", OLDER);
    assert_eq!(send(request.multipart(form)).await.status, StatusCode::OK);
    assert_eq!(pool.shell("session-1", "cat sub/deep/f sub/g").await, "contentolder");
    for (path, version, content) in [
        ("files/sub/deep/f/content", VERSION, "content"),
        ("files/sub%2Fdeep%2Ff/content", VERSION, "content"),
        ("files/content/sub/g", OLDER, "older"),
    ] {
        let answer = pool
            .request(Method::GET, path, "session-1", version)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.text().await.unwrap(), content, "{path}");
    }
    let within = pool
        .request(Method::GET, "files/deep/f", "session-1", VERSION)
        .query(&[("path", "sub")]);
    assert_eq!(send(within).await.body["sizeInBytes"], 7);
    assert_eq!(
        pool.delete("files/sub/deep/f", "session-1").await.status,
        StatusCode::NO_CONTENT
    );
    let up = pool.upload("session-1", "", "sub/../../f", b"x".to_vec()).await;
    assert_eq!((up.status, up.code()), (StatusCode::BAD_REQUEST, "InvalidPath"));
}

#[tokio::test]
async fn a_plus_is_in_a_name_where_the_switch_says_so_and_never_a_space() {
    let azure = Azure::start(json!({})).await;
    let pool = azure.shell_pool().await;
    let up = pool.upload("session-1", "", "a+b.txt", b"content".to_vec()).await;
    assert_eq!((up.status, up.code()), (StatusCode::BAD_REQUEST, "InvalidPath"));
    azure
        .switch(json!({ "sessions": { "fileNameCharacters": "+." } }))
        .await;
    let up = pool.upload("session-1", "", "a+b.txt", b"content".to_vec()).await;
    assert_eq!(up.body["name"], "a+b.txt", "{up:?}");
    for path in ["files/a+b.txt/content", "files/a%2Bb.txt/content"] {
        let content = pool
            .request(Method::GET, path, "session-1", VERSION)
            .send()
            .await
            .unwrap();
        assert_eq!(content.text().await.unwrap(), "content", "{path}");
    }
}

#[tokio::test]
async fn every_type_of_pool_keeps_any_bytes_under_any_name_in_both_families() {
    let azure = Azure::start(json!({})).await;
    let binary: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    let names = [
        "empty",
        "binary file.bin",
        "\u{e9}t\u{e9} (1)@$&=;,#%^.txt",
        "\u{65e5}\u{672c}",
    ];
    for (pool, kind) in [("shell", "Shell"), ("python", "PythonLTS"), ("node", "NodeLTS")] {
        let pool = azure.pool(pool, kind, json!({})).await;
        for (name, content) in names.into_iter().zip([vec![], binary.clone(), binary.clone(), vec![0]]) {
            let encoded = azure_emulator::query::encode(name);
            for (version, upload, read, removed) in [
                (
                    VERSION,
                    "files",
                    format!("files/{encoded}/content"),
                    StatusCode::NO_CONTENT,
                ),
                (
                    OLDER,
                    "files/upload",
                    format!("files/content/{encoded}"),
                    StatusCode::OK,
                ),
            ] {
                let form = Form::new().part("file", Part::bytes(content.clone()).file_name(name));
                let up = send(pool.request(Method::POST, upload, "session-1", version).multipart(form)).await;
                assert_eq!(up.status, StatusCode::OK, "{kind} {name}: {up:?}");
                let listed = pool.get("files", "session-1").await.body["value"][0].clone();
                assert_eq!(
                    (&listed["name"], &listed["sizeInBytes"]),
                    (&json!(name), &json!(content.len()))
                );
                let got = pool
                    .request(Method::GET, &read, "session-1", version)
                    .send()
                    .await
                    .unwrap();
                assert_eq!(got.bytes().await.unwrap(), content, "{kind} {name}");
                let path = format!("files/{encoded}");
                let gone = send(pool.request(Method::DELETE, &path, "session-1", version)).await;
                assert_eq!(gone.status, removed, "{kind} {name}");
                let missing = send(pool.request(Method::GET, &read, "session-1", version)).await;
                assert_eq!(
                    (missing.status, missing.code()),
                    (StatusCode::NOT_FOUND, "FileNotFound")
                );
            }
        }
    }
}
