//! The MCP server of a pool.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::endpoint::{Answer, Azure, Pool, send};

const VERSION: &str = "2025-10-02-preview";

/// A pool with an MCP server, and its key.
async fn pool_with_server<'a>(azure: &'a Azure, container_type: &str) -> (Pool<'a>, String) {
    let settings = json!({ "mcpServerSettings": { "isMcpServerEnabled": true } });
    let pool = azure.pool("mcp", container_type, settings).await;
    let action = format!("{}/fetchMcpServerCredentials", pool.id);
    let key = azure.arm(Method::POST, &action, VERSION, None).await;
    let key = key.body["apiKey"].as_str().unwrap().to_owned();
    (pool, key)
}

async fn endpoint(pool: &Pool<'_>) -> String {
    let shown = pool.azure.arm(Method::GET, &pool.id, VERSION, None).await;
    let settings = &shown.body["properties"]["mcpServerSettings"];
    settings["mcpServerEndpoint"].as_str().unwrap().to_owned()
}

/// A message as clients send it: with the key, without a token and without an API version.
async fn post(pool: &Pool<'_>, key: &str, message: &Value) -> Answer {
    let request = pool.azure.client.post(endpoint(pool).await).json(message);
    send(request.header("x-ms-apikey", key)).await
}

async fn call(pool: &Pool<'_>, key: &str, tool: &str, arguments: Value) -> Value {
    let parameters = json!({ "name": tool, "arguments": arguments });
    let message = json!({ "jsonrpc": "2.0", "id": "7", "method": "tools/call", "params": parameters });
    let answer = post(pool, key, &message).await;
    assert_eq!((answer.status, &answer.body["id"]), (StatusCode::OK, &json!("7")));
    answer.body
}

#[tokio::test]
async fn the_server_introduces_itself_and_lists_its_tools() {
    let azure = Azure::start(json!({})).await;
    let (pool, key) = pool_with_server(&azure, "Shell").await;
    // As in Microsoft's tutorial, without parameters.
    let answer = post(
        &pool,
        &key,
        &json!({ "jsonrpc": "2.0", "id": "1", "method": "initialize" }),
    )
    .await;
    let result = &answer.body["result"];
    assert_eq!(result["protocolVersion"], "2025-03-26");
    assert_eq!(result["serverInfo"]["name"], "Microsoft Container Apps MCP Server");
    assert_eq!(result["capabilities"]["tools"], json!({ "list": true, "call": true }));

    let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    assert_eq!(post(&pool, &key, &initialized).await.status, StatusCode::ACCEPTED);
    let listed = post(
        &pool,
        &key,
        &json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" }),
    )
    .await;
    let tools = listed.body["result"]["tools"].as_array().unwrap();
    let names: Vec<&str> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "launchShell",
            "launchPythonEnvironment",
            "runShellCommandInRemoteEnvironment",
            "runPythonCodeInRemoteEnvironment"
        ]
    );
    let stream = azure.client.get(endpoint(&pool).await).header("x-ms-apikey", &key);
    assert_eq!(send(stream).await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn commands_and_code_run_in_the_session_that_the_environment_is() {
    let azure = Azure::start(json!({})).await;
    let (pool, key) = pool_with_server(&azure, "Shell").await;
    let launched = call(&pool, &key, "launchShell", json!({})).await;
    let environment = launched["result"]["structuredContent"]["environmentId"]
        .as_str()
        .unwrap();
    let sessions = pool.get("listSessions", environment).await;
    assert_eq!(
        sessions.body["sessions"],
        json!([]),
        "it is allocated by the first command"
    );

    let arguments =
        json!({ "environmentId": environment, "shellCommand": "echo text > a.txt; echo out; echo err >&2" });
    let ran = call(&pool, &key, "runShellCommandInRemoteEnvironment", arguments).await;
    let content = &ran["result"]["structuredContent"];
    assert_eq!(
        (&content["stdout"], &content["stderr"]),
        (&json!("out\n"), &json!("err\n"))
    );
    assert_eq!(ran["result"]["isError"], false);
    assert_eq!(pool.shell(environment, "cat a.txt").await, "text\n");

    let arguments = json!({ "environmentId": environment, "execCommandAndArgs": ["cat", "missing"] });
    let ran = call(&pool, &key, "runShellCommandInRemoteEnvironment", arguments).await;
    assert_eq!(
        (
            &ran["result"]["isError"],
            &ran["result"]["structuredContent"]["exitCode"]
        ),
        (&json!(true), &json!(1))
    );
}

#[tokio::test]
async fn python_code_keeps_what_it_defines() {
    let azure = Azure::start(json!({})).await;
    let (pool, key) = pool_with_server(&azure, "PythonLTS").await;
    let launched = call(&pool, &key, "launchPythonEnvironment", json!({})).await;
    let environment = launched["result"]["structuredContent"]["environmentId"].clone();
    let tool = "runPythonCodeInRemoteEnvironment";
    let run = |code: &str| json!({ "environmentId": environment, "pythonCode": code });
    call(&pool, &key, tool, run("x = 6")).await;
    let ran = call(&pool, &key, tool, run("print('out')\nx * 7")).await;
    let content = &ran["result"]["structuredContent"];
    assert_eq!(
        (&content["stdout"], &content["executionResult"]),
        (&json!("out\n"), &json!(42))
    );
    let failed = call(&pool, &key, tool, run("1 / 0")).await;
    assert_eq!(failed["result"]["isError"], true);
    let stderr = failed["result"]["structuredContent"]["stderr"].as_str().unwrap();
    assert!(stderr.contains("ZeroDivisionError"), "{stderr}");
}

#[tokio::test]
async fn only_the_key_of_the_pool_opens_its_server() {
    let azure = Azure::start(json!({})).await;
    let (pool, key) = pool_with_server(&azure, "Shell").await;
    let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
    assert_eq!(post(&pool, "wrong", &list).await.code(), "Unauthorized");
    let token = azure
        .client
        .post(endpoint(&pool).await)
        .json(&list)
        .bearer_auth(&azure.token);
    assert_eq!(send(token).await.status, StatusCode::UNAUTHORIZED);

    let action = format!("{}/rotateMcpServerCredentials", pool.id);
    let rotated = azure.arm(Method::POST, &action, VERSION, None).await;
    assert_eq!(post(&pool, &key, &list).await.status, StatusCode::UNAUTHORIZED);
    let key = rotated.body["apiKey"].as_str().unwrap();
    assert_eq!(post(&pool, key, &list).await.status, StatusCode::OK);

    let without = azure.shell_pool().await;
    let request = azure.client.post(format!("{}/mcp", without.endpoint)).json(&list);
    let answer = send(request.header("x-ms-apikey", key)).await;
    assert_eq!(
        (answer.status, answer.code()),
        (StatusCode::BAD_REQUEST, "SessionMCPServerNotEnabled")
    );
}

#[tokio::test]
async fn a_server_whose_key_is_disabled_takes_a_token() {
    let azure = Azure::start(json!({})).await;
    let settings = json!({ "mcpServerSettings": { "isMcpServerEnabled": true, "isMcpServerApiKeyDisabled": true } });
    let pool = azure.pool("mcp", "Shell", settings).await;
    let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
    assert_eq!(post(&pool, "any", &list).await.status, StatusCode::UNAUTHORIZED);
    let request = azure
        .client
        .post(endpoint(&pool).await)
        .json(&list)
        .bearer_auth(&azure.token);
    assert_eq!(send(request).await.status, StatusCode::OK);
}

#[tokio::test]
async fn wrong_messages_and_calls_are_errors_of_the_protocol() {
    let azure = Azure::start(json!({})).await;
    let (pool, key) = pool_with_server(&azure, "Shell").await;
    for (method, parameters, code) in [
        ("resources/list", json!({}), -32601),
        ("tools/call", json!({ "name": "unknown", "arguments": {} }), -32602),
        (
            "tools/call",
            json!({ "name": "runPythonCodeInRemoteEnvironment", "arguments": { "environmentId": "session-1" } }),
            -32602,
        ),
        (
            "tools/call",
            json!({ "name": "runShellCommandInRemoteEnvironment", "arguments": { "environmentId": "abc", "shellCommand": "true" } }),
            -32602,
        ),
        (
            "tools/call",
            json!({ "name": "runShellCommandInRemoteEnvironment", "arguments": { "environmentId": "session-1" } }),
            -32602,
        ),
    ] {
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": parameters });
        assert_eq!(
            post(&pool, &key, &message).await.body["error"]["code"],
            code,
            "{message}"
        );
    }
    let answer = post(&pool, &key, &json!([])).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_full_pool_is_told_to_the_model() {
    let azure = Azure::start(json!({})).await;
    let (pool, key) = pool_with_server(&azure, "Shell").await;
    for session in ["session-1", "session-2", "session-3"] {
        pool.shell(session, "true").await;
    }
    let arguments = json!({ "environmentId": "session-4", "shellCommand": "true" });
    let refused = call(&pool, &key, "runShellCommandInRemoteEnvironment", arguments).await;
    assert_eq!(refused["result"]["isError"], true);
    let said = refused["result"]["content"][0]["text"].as_str().unwrap();
    assert!(said.contains("No more sessions"), "{said}");
}
