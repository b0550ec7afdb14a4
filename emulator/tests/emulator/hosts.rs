//! Identity endpoints of hosts: who gets a token of what, and how the two protocols say no.

use azure_emulator::{Emulator, Isolation, Options};
use reqwest::Method;
use serde_json::{Value, json};

use crate::wire::{IDENTITIES, RESOURCES, Wire, answer, claims, shell_pool};
use crate::workloads::{APPS, GROUPS, group_body, system_assigned, user_assigned};

const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const ARM: &str = "https://management.azure.com/";

/// An app with a system-assigned identity and the user-assigned identities `one` and `two`.
async fn with_three(wire: &Wire) -> (String, [Value; 2]) {
    let identities = [
        wire.with_identity("rg", "one").await,
        wire.with_identity("rg", "two").await,
    ];
    let mut block = user_assigned(&[&wire.identity("rg", "one"), &wire.identity("rg", "two")]);
    block["type"] = json!("SystemAssigned,UserAssigned");
    (wire.with_app("app", &block).await, identities)
}

fn oid(answer: &crate::wire::Answer) -> Value {
    claims(answer.body["access_token"].as_str().unwrap())["oid"].clone()
}

#[tokio::test]
async fn the_operators_host_has_a_principal_that_may_do_nothing_until_it_is_given_a_role() {
    let wire = Wire::start().await.with_group("rg").await;
    let host = wire.operator_host().await;
    let ready = wire.emulator.ready();
    assert_eq!(host.text("imds"), ready.imds);
    assert_eq!(host.text("identityEndpoint"), ready.identity_endpoint);
    assert_eq!(host.text("identityHeader"), ready.identity_header);
    let granted = host.imds("").await.expect(200);
    assert_eq!(oid(&granted), host.body["principalId"]);
    assert_eq!(granted.body["client_id"], host.body["clientId"]);
    let token = granted.body["access_token"].as_str().unwrap();
    let group = wire.group("rg");
    let get = || wire.arm_as(token, Method::GET, &group, RESOURCES, None);
    get().await.expect_error(403, "AuthorizationFailed");
    let roles = json!({ "roleAssignments": [{ "scope": group, "roleDefinitionId": READER }] });
    let given = wire.control(Method::POST, "hosts", Some(roles)).await.expect(201).body;
    assert_eq!(given["principalId"], host.body["principalId"]);
    get().await.expect(200);
}

#[tokio::test]
async fn a_token_is_for_the_identity_and_the_resource_and_all_its_numbers_are_strings() {
    let wire = Wire::instant().await.with_environment().await;
    let app = wire.with_app("app", &system_assigned()).await;
    let host = wire.host(&app).await;
    let principal = wire.get(&app, APPS).await.body["identity"]["principalId"].clone();
    assert_eq!(host.body["principalId"], principal);

    let imds = host.imds_for("https://dynamicsessions.io", "").await.expect(200);
    for name in ["access_token", "client_id", "expires_in", "expires_on", "not_before"] {
        assert!(imds.body[name].is_string(), "{name}: {:?}", imds.body);
    }
    assert_eq!(imds.body["token_type"], "Bearer");
    assert_eq!(imds.body["resource"], "https://dynamicsessions.io");
    let token = claims(imds.body["access_token"].as_str().unwrap());
    assert_eq!(token["aud"], "https://dynamicsessions.io");
    assert_eq!(token["oid"], principal);
    assert_eq!(token["xms_mirid"], app);

    let app_service = host.app_service_for(ARM, "").await.expect(200);
    assert!(app_service.body["expires_on"].is_string());
    assert!(app_service.body.get("expires_in").is_none());
    assert_eq!(app_service.body["client_id"], imds.body["client_id"]);
    assert_eq!(oid(&app_service), principal);
}

#[tokio::test]
async fn only_identities_that_are_attached_answer() {
    let wire = Wire::instant().await.with_environment().await;
    let one = wire.with_identity("rg", "one").await["properties"]["clientId"].clone();
    let path = wire.with_app("app", &Value::Null).await;
    let host = wire.host(&path).await;
    let selector = format!("&client_id={}", one.as_str().unwrap());
    let expect = async |found: bool| {
        let (imds, app_service) = (host.imds(&selector).await, host.app_service(&selector).await);
        if found {
            assert_eq!(imds.expect(200).body["client_id"], one);
            assert_eq!(app_service.expect(200).body["client_id"], one);
        } else {
            assert_eq!(
                imds.expect(400).body,
                json!({ "error": "invalid_request", "error_description": "Identity not found" })
            );
            assert_eq!(app_service.expect(400).body["statusCode"], 400);
        }
    };
    expect(false).await;
    let id = wire.identity("rg", "one");
    let attach = json!({ "identity": user_assigned(&[&id]) });
    wire.patch(&path, APPS, attach.clone()).await.expect(200);
    expect(true).await;
    wire.patch(&path, APPS, json!({ "identity": { "type": "None" } }))
        .await
        .expect(200);
    expect(false).await;
    wire.patch(&path, APPS, attach).await.expect(200);
    wire.delete(&id, IDENTITIES).await.expect(200);
    expect(false).await;
    wire.with_identity("rg", "one").await;
    expect(false).await;
}

#[tokio::test]
async fn each_selector_finds_its_identity() {
    let wire = Wire::instant().await.with_environment().await;
    let (app, [one, two]) = with_three(&wire).await;
    let host = wire.host(&app).await;
    let system = wire.get(&app, APPS).await.body["identity"]["principalId"].clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (client, object) = (
        text(&one["properties"]["clientId"]),
        text(&two["properties"]["principalId"]),
    );
    let resource = wire.identity("rg", "two").to_uppercase();
    for (selector, wanted) in [
        (String::new(), &system),
        (format!("&client_id={client}"), &one["properties"]["principalId"]),
        (format!("&object_id={object}"), &two["properties"]["principalId"]),
        (format!("&principal_id={object}"), &two["properties"]["principalId"]),
        (format!("&mi_res_id={resource}"), &two["properties"]["principalId"]),
        (format!("&msi_res_id={resource}"), &two["properties"]["principalId"]),
    ] {
        assert_eq!(&oid(&host.imds(&selector).await.expect(200)), wanted, "{selector}");
        assert_eq!(
            &oid(&host.app_service(&selector).await.expect(200)),
            wanted,
            "{selector}"
        );
    }
    host.imds(&format!("&client_id={client}&object_id={object}"))
        .await
        .expect(400);
    host.imds("&client_id=00000000-0000-4000-8000-000000000000")
        .await
        .expect(400);
}

#[tokio::test]
async fn without_a_selector_imds_takes_the_only_identity_and_app_service_the_system_assigned_one() {
    let wire = Wire::instant().await.with_environment().await;
    let one = wire.with_identity("rg", "one").await;
    wire.with_identity("rg", "two").await;
    let app = wire
        .with_app("app", &user_assigned(&[&wire.identity("rg", "one")]))
        .await;
    let host = wire.host(&app).await;
    assert_eq!(host.body["principalId"], Value::Null);
    assert_eq!(oid(&host.imds("").await.expect(200)), one["properties"]["principalId"]);
    host.app_service("").await.expect(400);
    let two = json!({ "identity": user_assigned(&[&wire.identity("rg", "two")]) });
    wire.patch(&app, APPS, two).await.expect(200);
    let refused = host.imds("").await.expect(400).body;
    let description = refused["error_description"].as_str().unwrap();
    assert!(
        description.contains("Multiple user assigned identities"),
        "{description}"
    );
}

#[tokio::test]
async fn imds_wants_its_header_and_no_proxy_in_between() {
    let wire = Wire::start().await;
    let host = wire.operator_host().await;
    let url = format!(
        "{}/metadata/identity/oauth2/token?api-version=2018-02-01&resource={ARM}",
        host.text("imds")
    );
    let get = |headers: &'static [(&'static str, &'static str)]| {
        let mut request = host.client.get(&url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        async move { answer(request.send().await.unwrap()).await }
    };
    assert_eq!(get(&[]).await.expect(400).body["error"], "bad_request_102");
    assert_eq!(
        get(&[("Metadata", "false")]).await.expect(400).body["error"],
        "bad_request_102"
    );
    get(&[("Metadata", "true"), ("X-Forwarded-For", "10.0.0.1")])
        .await
        .expect(400);
    get(&[("metadata", "True")]).await.expect(200);
    let bare = format!("{}/metadata/identity/oauth2/token", host.text("imds"));
    for query in ["?resource=https://vault.azure.net", "?api-version=2018-02-01"] {
        let request = host.client.get(format!("{bare}{query}")).header("Metadata", "true");
        let refused = answer(request.send().await.unwrap()).await.expect(400).body;
        assert_eq!(refused["error"], "invalid_request", "{query}");
    }
    let elsewhere = host.client.get(format!("{}/_emulator/hosts", host.text("imds")));
    answer(elsewhere.send().await.unwrap()).await.expect(404);
    let request = host.client.post(&url).header("Metadata", "true");
    answer(request.send().await.unwrap()).await.expect(405);
}

#[tokio::test]
async fn the_secret_header_of_one_host_is_worth_nothing_at_another() {
    let wire = Wire::instant().await.with_environment().await;
    let first = wire.host(&wire.with_app("first", &system_assigned()).await).await;
    let second = wire.host(&wire.with_app("second", &system_assigned()).await).await;
    assert_ne!(first.text("imds"), second.text("imds"));
    let url = format!(
        "{}?api-version=2019-08-01&resource={ARM}",
        first.text("identityEndpoint")
    );
    let with = |header: Option<&str>| {
        let mut request = first.client.get(&url);
        if let Some(header) = header {
            request = request.header("X-IDENTITY-HEADER", header);
        }
        async move { answer(request.send().await.unwrap()).await }
    };
    with(Some(first.text("identityHeader"))).await.expect(200);
    assert_eq!(with(None).await.expect(401).body["statusCode"], 401);
    assert_eq!(
        with(Some(second.text("identityHeader"))).await.expect(403).body["statusCode"],
        403
    );
    let old = url.replace("2019-08-01", "2017-09-01");
    let request = first
        .client
        .get(old)
        .header("X-IDENTITY-HEADER", first.text("identityHeader"));
    answer(request.send().await.unwrap()).await.expect(400);
}

#[tokio::test]
async fn an_unknown_resource_is_named_by_imds_and_a_vague_500_elsewhere() {
    let wire = Wire::start().await;
    let host = wire.operator_host().await;
    let refused = host.imds_for("https://example.org", "").await.expect(400).body;
    assert_eq!(refused["error"], "invalid_resource");
    assert!(
        refused["error_description"]
            .as_str()
            .unwrap()
            .starts_with("AADSTS50001")
    );
    let vague = host.app_service_for("https://example.org", "").await.expect(500).body;
    assert_eq!(vague["statusCode"], 500);
}

#[tokio::test]
async fn an_identity_that_is_not_for_the_main_containers_does_not_answer() {
    let wire = Wire::instant().await.with_environment().await;
    let (app, [one, _]) = with_three(&wire).await;
    let host = wire.host(&app).await;
    let client = one["properties"]["clientId"].as_str().unwrap();
    let id = wire.identity("rg", "one").to_uppercase();
    for (lifecycle, status) in [("None", 400), ("Init", 400), ("Main", 200), ("All", 200)] {
        let settings = json!([
            { "identity": id, "lifecycle": lifecycle },
            { "identity": "system", "lifecycle": lifecycle },
        ]);
        let change = json!({ "properties": { "configuration": { "identitySettings": settings } } });
        wire.patch(&app, APPS, change).await.expect(200);
        host.imds(&format!("&client_id={client}")).await.expect(status);
        host.app_service("").await.expect(status);
        let two = format!("&mi_res_id={}", wire.identity("rg", "two"));
        host.imds(&two).await.expect(200);
    }
}

#[tokio::test]
async fn the_access_list_of_a_container_group_decides_who_answers() {
    let wire = Wire::instant().await.with_group("rg").await;
    wire.with_identity("rg", "one").await;
    let one = wire.identity("rg", "one");
    let path = wire.container_group("group");
    let mut body = group_body();
    body["identity"] = user_assigned(&[&one]);
    wire.put(&path, GROUPS, body.clone()).await.expect(201);
    let host = wire.host(&path).await;
    host.imds("").await.expect(200);
    for (access, status) in [("System", 400), ("User", 200), ("All", 200)] {
        let acls = json!([{ "identity": one, "access": access }]);
        body["properties"]["identityAcls"] = json!({ "defaultAccess": "System", "acls": acls });
        wire.put(&path, GROUPS, body.clone()).await.expect(200);
        host.imds("").await.expect(status);
    }
}

#[tokio::test]
async fn faults_and_the_journal_know_hosts() {
    let wire = Wire::instant().await.with_environment().await;
    let app = wire.with_app("app", &system_assigned()).await;
    let host = wire.host(&app).await;
    for status in [404, 410, 429, 500] {
        let fault = json!({
            "match": { "path": "^/metadata/identity" },
            "action": { "status": status, "headers": { "Retry-After": "1" } },
        });
        wire.control(Method::POST, "faults", Some(fault)).await.expect(201);
        let refused = host.imds("").await.expect(status);
        assert_eq!(refused.header("retry-after"), Some("1"));
        host.imds("").await.expect(200);
    }
    let fault = json!({ "match": { "path": "^/msi/token" }, "action": { "reset": true } });
    wire.control(Method::POST, "faults", Some(fault)).await.expect(201);
    let url = format!("{}?resource=r", host.text("identityEndpoint"));
    assert!(host.client.get(url).send().await.is_err());
    let journal = wire.control(Method::GET, "requests", None).await.body;
    let of_host = |one: &&Value| one["host"].as_str() == Some(app.to_lowercase().as_str());
    let statuses: Vec<&Value> = journal
        .as_array()
        .unwrap()
        .iter()
        .filter(of_host)
        .map(|one| &one["status"])
        .collect();
    assert_eq!(
        statuses,
        [
            &json!(404),
            &json!(200),
            &json!(410),
            &json!(200),
            &json!(429),
            &json!(200),
            &json!(500),
            &json!(200),
            &Value::Null
        ]
    );
}

#[tokio::test]
async fn what_is_no_host_has_no_endpoints() {
    let wire = Wire::instant().await.with_environment().await;
    wire.put(&wire.pool("rg", "pool"), "2025-10-02-preview", shell_pool())
        .await
        .expect(200);
    for id in [
        wire.app("absent"),
        wire.pool("rg", "pool"),
        wire.environment("env"),
        "nonsense".to_owned(),
    ] {
        let answer = wire.control(Method::GET, &format!("hosts?resourceId={id}"), None).await;
        assert_eq!(answer.expect(404).body["error"]["code"], 404, "{id}");
    }
    let app = wire.with_app("app", &Value::Null).await;
    let roles = json!({ "resourceId": app, "roleAssignments": [] });
    wire.control(Method::POST, "hosts", Some(roles)).await.expect(409);
}

#[tokio::test]
async fn endpoints_stay_until_their_host_is_gone() {
    let wire = Wire::instant().await.with_environment().await;
    let path = wire.with_app("app", &system_assigned()).await;
    let host = wire.host(&path.to_lowercase()).await;
    assert_eq!(wire.host(&path).await.body, host.body);
    wire.put(&path, APPS, wire.app_body(&system_assigned()))
        .await
        .expect(201);
    host.imds("").await.expect(200);
    wire.delete(&path, APPS).await.expect(204);
    let url = format!("{}/metadata", host.text("imds"));
    // The listener ends with its task, right after the answer.
    let mut polls = 0;
    while host.client.get(&url).send().await.is_ok() {
        polls += 1;
        assert!(polls < 500, "it still listens");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    wire.control(Method::GET, &format!("hosts?resourceId={path}"), None)
        .await
        .expect(404);
    wire.with_app("app", &system_assigned()).await;
    let again = wire.host(&path).await;
    assert_ne!(again.text("identityHeader"), host.text("identityHeader"));
}

#[tokio::test]
async fn hosts_listen_where_they_did_after_a_restart() {
    let wire = Wire::instant().await.with_environment().await;
    let path = wire.with_app("app", &system_assigned()).await;
    let (app, operator) = (wire.host(&path).await, wire.operator_host().await);
    let Wire { emulator, data_dir, .. } = wire;
    emulator.stop().await;
    assert!(app.client.get(app.text("imds")).send().await.is_err());
    let options = Options {
        isolation: Isolation::None,
        ..Options::new(data_dir.path())
    };
    let emulator = Emulator::start(options).await.unwrap();
    assert_eq!(emulator.ready().imds, operator.text("imds"));
    assert_eq!(emulator.ready().identity_header, operator.text("identityHeader"));
    for host in [&app, &operator] {
        assert_eq!(
            oid(&host.imds("").await.expect(200)),
            host.body["principalId"],
            "the principal stays"
        );
        host.app_service("").await.expect(200);
    }
    emulator.stop().await;
}
