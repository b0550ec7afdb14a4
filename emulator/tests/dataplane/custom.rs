//! Pools of custom containers, whose container is a local process.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::endpoint::{Azure, GROUP, Pool, send};

const VERSION: &str = "2025-02-02-preview";

/// Answers GET with its own variables, the path and the session's directory, POST with the body that it was sent; ends at /exit.
const SERVER: &str = r"
import http.server, json, os
class Handler(http.server.BaseHTTPRequestHandler):
    def reply(self, status, body):
        self.send_response(status)
        self.send_header('content-length', str(len(body)))
        self.send_header('x-from', 'container')
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        if self.path.startswith('/exit'):
            os._exit(3)
        status = 404 if self.path.startswith('/missing') else 200
        seen = {'path': self.path, 'variable': os.environ.get('VARIABLE'), 'secret': os.environ.get('SECRET'),
                'token': self.headers.get('authorization'), 'files': os.listdir('/mnt/data'), 'process': os.getpid()}
        self.reply(status, json.dumps(seen).encode())
    def do_POST(self):
        body = self.rfile.read(int(self.headers['content-length']))
        open('/mnt/data/last', 'wb').write(body)
        self.reply(201, body)
http.server.ThreadingHTTPServer(('0.0.0.0', 80), Handler).serve_forever()
";

/// A pool with this template; `lifecycle` is its configuration.
async fn custom_pool(azure: &Azure, template: Value, lifecycle: Value) -> Pool<'_> {
    azure.shell_pool().await;
    let subscription = &azure.emulator.ready().subscription_id;
    let environment =
        format!("/subscriptions/{subscription}/resourceGroups/{GROUP}/providers/Microsoft.App/managedEnvironments/e");
    let empty = json!({ "location": "westeurope", "properties": {} });
    let made = azure.arm(Method::PUT, &environment, "2025-07-01", Some(empty)).await;
    assert!(made.status.is_success(), "{made:?}");
    azure.advance(120).await;
    let changes = json!({
        "environmentId": environment,
        "scaleConfiguration": { "maxConcurrentSessions": 3, "readySessionInstances": 1 },
        "dynamicPoolConfiguration": { "lifecycleConfiguration": lifecycle },
        "secrets": [{ "name": "hidden", "value": "of the pool" }],
        "customContainerTemplate": template,
    });
    let pool = azure.pool("custom", "CustomContainer", changes).await;
    azure.advance(120).await;
    pool
}

fn timed() -> Value {
    json!({ "lifecycleType": "Timed", "cooldownPeriodInSeconds": 300 })
}

fn template(container: Value) -> Value {
    let mut template = json!({
        "containers": [{ "name": "c", "image": "example.azurecr.io/server:1", "resources": { "cpu": 0.5, "memory": "1Gi" } }],
        "ingress": { "targetPort": 80 },
    });
    azure_emulator::json::merge_patch(&mut template["containers"][0], &container);
    template
}

fn server() -> Value {
    template(json!({
        "command": ["python3", "-c"],
        "args": [SERVER],
        "env": [{ "name": "VARIABLE", "value": "given" }, { "name": "SECRET", "secretRef": "hidden" }],
    }))
}

impl Pool<'_> {
    async fn forward(&self, method: Method, path: &str, identifier: &str) -> (StatusCode, Value) {
        let answer = send(self.request(method, path, identifier, VERSION)).await;
        (answer.status, answer.body)
    }
}

#[tokio::test]
async fn requests_go_to_the_port_of_the_session_s_container() {
    let azure = Azure::start(json!({})).await;
    let pool = custom_pool(&azure, server(), timed()).await;
    let (status, seen) = pool.forward(Method::GET, "some/p%20th", "session-1").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        seen["path"],
        format!("/some/p%20th?api-version={VERSION}&identifier=session-1")
    );
    assert_eq!(
        (&seen["variable"], &seen["secret"]),
        (&json!("given"), &json!("of the pool"))
    );
    assert_eq!(seen["token"], Value::Null, "the token opens the whole pool");

    let body = vec![7; 300_000];
    let request = pool.request(Method::POST, "", "session-1", VERSION).body(body.clone());
    let answer = request.send().await.unwrap();
    assert_eq!(
        (answer.status(), &answer.headers()["x-from"]),
        (StatusCode::CREATED, &"container".parse().unwrap())
    );
    assert_eq!(answer.bytes().await.unwrap(), body);

    // What is a call on other pools is the container's own path here, and its answers pass as they are.
    let (_, seen) = pool.forward(Method::GET, "listSessions", "session-1").await;
    assert_eq!(seen["files"], json!(["last"]));
    assert_eq!(
        pool.forward(Method::GET, "missing", "session-1").await.0,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn sessions_have_a_container_each_on_the_same_port() {
    let azure = Azure::start(json!({})).await;
    let pool = custom_pool(&azure, server(), timed()).await;
    let first = pool.request(Method::POST, "", "session-1", VERSION).body("text");
    assert_eq!(first.send().await.unwrap().status(), StatusCode::CREATED);
    let (_, first) = pool.forward(Method::GET, "", "session-1").await;
    let (_, second) = pool.forward(Method::GET, "", "session-2").await;
    assert_eq!((&first["files"], &second["files"]), (&json!(["last"]), &json!([])));
}

#[tokio::test]
async fn a_stopped_session_is_gone_and_the_next_request_gets_another() {
    let azure = Azure::start(json!({})).await;
    let pool = custom_pool(&azure, server(), timed()).await;
    let first = pool.request(Method::POST, "", "session-1", VERSION).body("text");
    first.send().await.unwrap();
    let stop = ".management/stopSession";
    let stopped = pool
        .request(Method::POST, stop, "session-1", VERSION)
        .send()
        .await
        .unwrap();
    assert_eq!(stopped.status(), StatusCode::OK);
    assert_eq!(
        stopped.text().await.unwrap(),
        "Session session-1 in session pool custom stopped."
    );
    let (_, seen) = pool.forward(Method::GET, "", "session-1").await;
    assert_eq!(seen["files"], json!([]));
    let unknown = send(pool.request(Method::POST, stop, "session-9", VERSION)).await;
    assert_eq!(
        (unknown.status, unknown.code()),
        (StatusCode::NOT_FOUND, "SessionNotFound")
    );
}

#[tokio::test]
async fn a_container_that_exits_ends_the_sessions_that_live_until_then() {
    let azure = Azure::start(json!({})).await;
    let lifecycle =
        json!({ "lifecycleType": "OnContainerExit", "maxAlivePeriodInSeconds": 600, "cooldownPeriodInSeconds": null });
    let pool = custom_pool(&azure, server(), lifecycle).await;
    let first = pool.request(Method::POST, "", "session-1", VERSION).body("text");
    first.send().await.unwrap();
    let exit = send(pool.request(Method::GET, "exit", "session-1", VERSION)).await;
    assert_eq!(
        (exit.status, exit.code()),
        (StatusCode::BAD_GATEWAY, "ContainerNotResponding")
    );
    let ended = async {
        // The end of the process is known a moment after that of its connections.
        loop {
            let sessions = azure.allocations(&pool.id).await["sessions"].clone();
            if !sessions[0]["ending"].is_null() {
                return sessions;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let sessions = tokio::time::timeout(Duration::from_mins(1), ended).await.unwrap();
    assert_eq!(sessions[0]["ending"], "ContainerExited");
    let (_, seen) = pool.forward(Method::GET, "", "session-1").await;
    assert_eq!(seen["files"], json!([]));
}

#[tokio::test]
async fn a_container_that_does_not_come_up_is_told_with_what_it_said() {
    let azure = Azure::start(json!({})).await;
    let fails = template(json!({ "command": ["sh", "-c", "echo no configuration >&2; exit 4"] }));
    let pool = custom_pool(&azure, fails, timed()).await;
    let answer = send(pool.request(Method::GET, "", "session-1", VERSION)).await;
    assert_eq!(
        (answer.status, answer.code()),
        (StatusCode::BAD_GATEWAY, "ContainerNotReady")
    );
    let message = answer.body["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("exit status: 4") && message.contains("no configuration"),
        "{message}"
    );
}

#[tokio::test]
async fn an_image_without_a_command_needs_a_program_in_its_place() {
    let azure = Azure::start(json!({})).await;
    let pool = custom_pool(&azure, template(json!({})), timed()).await;
    let answer = send(pool.request(Method::GET, "", "session-1", VERSION)).await;
    assert_eq!(
        (answer.status, answer.code()),
        (StatusCode::NOT_IMPLEMENTED, "NotEmulated")
    );
    let message = answer.body["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("example.azurecr.io/server:1") && message.contains("containerPrograms"),
        "{message}"
    );

    let programs = json!({ "example.azurecr.io/server:1": ["python3", "-c", SERVER] });
    azure
        .switch(json!({ "sessions": { "containerPrograms": programs } }))
        .await;
    assert_eq!(pool.forward(Method::GET, "", "session-1").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_pool_without_target_port_answers_404_and_one_without_identifier_400() {
    let azure = Azure::start(json!({})).await;
    let mut template = server();
    template.as_object_mut().unwrap().remove("ingress");
    let pool = custom_pool(&azure, template, timed()).await;
    assert_eq!(
        pool.forward(Method::GET, "", "session-1").await.0,
        StatusCode::NOT_FOUND
    );
    let request = azure
        .client
        .get(format!("{}/x", pool.endpoint))
        .bearer_auth(&azure.token);
    assert_eq!(send(request).await.code(), "MissingIdentifier");
    let request = azure.client.get(format!("{}/x?identifier=session-1", pool.endpoint));
    assert_eq!(send(request).await.status, StatusCode::UNAUTHORIZED);
    let elsewhere = pool.endpoint.replace("/custom.", "/other.");
    let request = azure
        .client
        .get(format!("{elsewhere}/x?identifier=session-1"))
        .bearer_auth(&azure.token);
    assert_eq!(send(request).await.code(), "NotFound");
}
