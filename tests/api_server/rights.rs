//! What the chart's ServiceAccount may do, asked of the API server, and the list of its rules.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Client;
use kube::api::{Api, PostParams};
use serde_json::Value;

use crate::chart::{of_kind, render};
use crate::schema::KINDS;
use crate::server::{OPERATOR_NAMESPACE, SECOND_NAMESPACE, WATCHED, client, namespace, server};

/// Everything that the operator may do where it works. Each line is used by it; one that is not must go.
const RULES: &[&str] = &[
    "list,watch lifeguard.dev/azureaccounts",
    "list,watch lifeguard.dev/resourcegroups",
    "list,watch lifeguard.dev/sessionpools",
    "list,watch lifeguard.dev/managedidentities",
    "list,watch lifeguard.dev/roleassignments",
    "list,watch lifeguard.dev/identityassignments",
    "list,watch lifeguard.dev/commandjobs",
    "patch lifeguard.dev/azureaccounts/status",
    "patch lifeguard.dev/resourcegroups/status",
    "patch lifeguard.dev/sessionpools/status",
    "patch lifeguard.dev/managedidentities/status",
    "patch lifeguard.dev/roleassignments/status",
    "patch lifeguard.dev/identityassignments/status",
    "patch lifeguard.dev/commandjobs/status",
    "patch lifeguard.dev/azureaccounts",
    "patch lifeguard.dev/resourcegroups",
    "patch lifeguard.dev/sessionpools",
    "patch lifeguard.dev/managedidentities",
    "patch lifeguard.dev/roleassignments",
    "patch lifeguard.dev/identityassignments",
    "get,delete lifeguard.dev/commandjobs",
    "get /secrets",
    "get,create,update,delete /configmaps",
    "get /namespaces",
    "create /serviceaccounts/token [lifeguard,lifeguard-runner]",
    "create events.k8s.io/events",
];

/// What it may do in its own namespace besides.
const OWN_RULES: &[&str] = &["create /secrets", "get /secrets [lifeguard-operator-key]"];

fn texts(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// The rules of a role, one line a resource.
fn rules(role: &Value) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for rule in role["rules"].as_array().into_iter().flatten() {
        let verbs = texts(&rule["verbs"]).join(",");
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                let names = match texts(&rule["resourceNames"]) {
                    names if names.is_empty() => String::new(),
                    names => format!(" [{}]", names.join(",")),
                };
                lines.insert(format!("{verbs} {group}/{resource}{names}"));
            }
        }
    }
    lines
}

fn lines(rules: &[&str]) -> BTreeSet<String> {
    rules.iter().map(|&it| it.to_owned()).collect()
}

fn named<'a>(objects: &[&'a Value], name: &str) -> Vec<&'a Value> {
    objects
        .iter()
        .copied()
        .filter(|it| it["metadata"]["name"] == name)
        .collect()
}

#[test]
fn the_operator_has_these_rights_and_no_others() {
    let objects = render(&[]).expect("valid");
    let roles = of_kind(&objects, "ClusterRole");
    assert_eq!(rules(named(&roles, "lifeguard")[0]), lines(RULES));
    let own = of_kind(&objects, "Role");
    assert_eq!(own.len(), 1);
    assert_eq!(own[0]["metadata"]["namespace"], OPERATOR_NAMESPACE);
    assert_eq!(rules(own[0]), lines(OWN_RULES));
    // Bound to nobody else, and through nothing else.
    let bindings = [
        of_kind(&objects, "ClusterRoleBinding"),
        of_kind(&objects, "RoleBinding"),
    ]
    .concat();
    assert_eq!(bindings.len(), 2);
    for binding in bindings {
        let subjects = binding["subjects"].as_array().expect("subjects");
        assert_eq!(subjects.len(), 1);
        assert_eq!(subjects[0]["name"], "lifeguard");
        assert_eq!(subjects[0]["namespace"], OPERATOR_NAMESPACE);
    }
}

#[test]
fn with_watched_namespaces_the_same_rights_are_given_there_and_none_in_the_cluster() {
    let objects = render(&["watchNamespaces=[\"one\",\"two\"]", "clusterId=\"a\""]).expect("valid");
    assert!(of_kind(&objects, "ClusterRoleBinding").is_empty());
    assert!(named(&of_kind(&objects, "ClusterRole"), "lifeguard").is_empty());
    let roles = named(&of_kind(&objects, "Role"), "lifeguard");
    let namespaces: Vec<_> = roles
        .iter()
        .map(|it| it["metadata"]["namespace"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(namespaces, ["one", "two"]);
    for role in roles {
        assert_eq!(rules(role), lines(RULES));
    }
}

#[test]
fn an_installation_without_exports_and_overflow_only_reads_config_maps() {
    for more in [&[][..], &["watchNamespaces=[\"one\"]", "clusterId=\"a\""]] {
        let values = [&["rbac.writeConfigMaps=false"], more].concat();
        let objects = render(&values).expect("valid");
        let roles = [of_kind(&objects, "ClusterRole"), of_kind(&objects, "Role")].concat();
        let fewer = RULES.iter().map(|&rule| match rule {
            "get,create,update,delete /configmaps" => "get /configmaps",
            rule => rule,
        });
        let expected = fewer.map(str::to_owned).collect::<BTreeSet<_>>();
        assert_eq!(rules(named(&roles, "lifeguard")[0]), expected);
    }
}

#[test]
fn tokens_can_be_requested_of_the_named_service_accounts_only_or_of_none() {
    let several = render(&["workloadIdentity.serviceAccountNames=[\"a\",\"b\"]"]).expect("valid");
    let role = named(&of_kind(&several, "ClusterRole"), "lifeguard")[0];
    assert!(rules(role).contains("create /serviceaccounts/token [a,b]"));
    let none = render(&["workloadIdentity.serviceAccountNames=[]"]).expect("valid");
    let role = named(&of_kind(&none, "ClusterRole"), "lifeguard")[0];
    assert!(rules(role).iter().all(|it| !it.contains("serviceaccounts")));
}

/// Asks the server whether a user may do it. `request` is `VERB GROUP/RESOURCE[/SUBRESOURCE] [NAME]`.
async fn may(client: &Client, user: &str, namespace: &str, request: &str) -> bool {
    let mut words = request.split(' ');
    let verb = words.next().map(str::to_owned);
    let mut path = words.next().expect("a resource").split('/').map(str::to_owned);
    let attributes = ResourceAttributes {
        verb,
        group: path.next(),
        resource: path.next(),
        subresource: path.next(),
        name: words.next().map(str::to_owned),
        namespace: (!namespace.is_empty()).then(|| namespace.to_owned()),
        ..ResourceAttributes::default()
    };
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(user.to_owned()),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let review = Api::<SubjectAccessReview>::all(client.clone())
        .create(&PostParams::default(), &review)
        .await
        .expect("the server answers a review");
    review.status.is_some_and(|it| it.allowed)
}

fn service_account(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

/// What no operator of ours may do in a namespace that it works in.
const FORBIDDEN: &[&str] = &[
    "list /secrets",
    "watch /secrets",
    "create /secrets",
    "update /secrets any",
    "patch /secrets any",
    "delete /secrets any",
    "list /configmaps",
    "watch /configmaps",
    "patch /configmaps any",
    "deletecollection /configmaps",
    "get /serviceaccounts lifeguard",
    "create /serviceaccounts",
    "create /serviceaccounts/token default",
    "create /serviceaccounts/token other",
    "list /namespaces",
    "create /namespaces",
    "get /pods any",
    "create /pods",
    "create /pods/exec any",
    "create batch/jobs",
    "create /events",
    "create lifeguard.dev/commandjobs",
    "patch lifeguard.dev/commandjobs any",
    "update lifeguard.dev/commandjobs any",
    "delete lifeguard.dev/sessionpools any",
    "deletecollection lifeguard.dev/commandjobs",
    "create lifeguard.dev/azureaccounts",
    "update lifeguard.dev/azureaccounts/status any",
    "create rbac.authorization.k8s.io/roles",
    "create rbac.authorization.k8s.io/rolebindings",
    "escalate rbac.authorization.k8s.io/clusterroles any",
    "impersonate /users any",
    "patch apiextensions.k8s.io/customresourcedefinitions any",
];

/// The requests that a list of rules allows, in the notation of [`may`].
fn requests(rules: &[&str]) -> Vec<String> {
    let mut requests = Vec::new();
    for rule in rules {
        let (verbs, rest) = rule.split_once(' ').expect("verbs and a resource");
        let (resource, names) = rest.split_once(" [").unwrap_or((rest, "any]"));
        for name in names.trim_end_matches(']').split(',') {
            requests.extend(verbs.split(',').map(|verb| format!("{verb} {resource} {name}")));
        }
    }
    requests
}

#[tokio::test]
async fn the_server_grants_what_is_listed_in_every_namespace_and_refuses_the_rest() {
    let client = client().await;
    let namespace = namespace("rights");
    let operator = service_account(OPERATOR_NAMESPACE, "lifeguard");
    for request in requests(RULES) {
        assert!(
            may(&client, &operator, &namespace, &request).await,
            "{request} is refused"
        );
    }
    for request in FORBIDDEN {
        assert!(
            !may(&client, &operator, &namespace, request).await,
            "{request} is granted"
        );
    }
    for request in requests(OWN_RULES) {
        assert!(
            may(&client, &operator, OPERATOR_NAMESPACE, &request).await,
            "{request} is refused"
        );
    }
    for request in [
        "update /secrets lifeguard-operator-key",
        "delete /secrets lifeguard-operator-key",
        "list /secrets",
    ] {
        assert!(
            !may(&client, &operator, OPERATOR_NAMESPACE, request).await,
            "{request} is granted"
        );
    }
}

#[tokio::test]
async fn an_operator_of_two_namespaces_can_do_nothing_in_a_third() {
    let client = client().await;
    let operator = service_account(SECOND_NAMESPACE, "second-lifeguard");
    for namespace in WATCHED {
        for request in requests(RULES) {
            assert!(
                may(&client, &operator, namespace, &request).await,
                "{request} is refused"
            );
        }
        for request in FORBIDDEN {
            assert!(
                !may(&client, &operator, namespace, request).await,
                "{request} is granted"
            );
        }
    }
    for namespace in ["", "kube-system", "default", OPERATOR_NAMESPACE] {
        for request in requests(RULES)
            .iter()
            .map(String::as_str)
            .chain(FORBIDDEN.iter().copied())
        {
            assert!(
                !may(&client, &operator, namespace, request).await,
                "{request} is granted in `{namespace}`"
            );
        }
    }
    for request in requests(OWN_RULES) {
        assert!(
            may(&client, &operator, SECOND_NAMESPACE, &request).await,
            "{request} is refused"
        );
    }
}

#[tokio::test]
async fn view_reads_every_kind_edit_writes_pools_and_jobs_and_admin_what_gives_an_identity_or_a_role() {
    let client = client().await;
    let namespace = namespace("aggregation");
    for role in ["view", "edit", "admin", "lifeguard-submitter"] {
        let arguments = [
            "create",
            "rolebinding",
            role,
            "--clusterrole",
            role,
            "--user",
            role,
            "--namespace",
            &namespace,
        ];
        server().kubectl().run(&arguments).expect("bound");
    }
    let editors = ["resourcegroups", "sessionpools", "commandjobs"];
    let administrators = [
        "azureaccounts",
        "managedidentities",
        "roleassignments",
        "identityassignments",
    ];
    let mut granted = Vec::new();
    let mut refused = Vec::new();
    for (_, plural) in KINDS {
        let is_editors = editors.contains(&plural);
        assert!(is_editors != administrators.contains(&plural), "who writes {plural}?");
        for verb in ["get", "list", "watch"] {
            granted.extend(["view", "edit", "admin"].map(|it| (it, format!("{verb} lifeguard.dev/{plural} any"))));
        }
        for verb in ["create", "update", "patch", "delete", "deletecollection"] {
            let request = format!("{verb} lifeguard.dev/{plural} any");
            granted.push(("admin", request.clone()));
            if is_editors { &mut granted } else { &mut refused }.push(("edit", request.clone()));
            refused.push(("view", request));
        }
        for user in ["edit", "admin"] {
            refused.push((user, format!("patch lifeguard.dev/{plural}/status any")));
        }
        for verb in ["get", "list", "watch", "create", "update", "patch", "delete"] {
            let request = format!("{verb} lifeguard.dev/{plural} any");
            let is_jobs = plural == "commandjobs";
            if is_jobs { &mut granted } else { &mut refused }.push(("lifeguard-submitter", request));
        }
    }
    refused.push((
        "lifeguard-submitter",
        "patch lifeguard.dev/commandjobs/status any".to_owned(),
    ));
    for (user, request) in granted {
        // A controller copies the rules after the chart was installed.
        let mut allowed = false;
        for _ in 0..300 {
            allowed = may(&client, user, &namespace, &request).await;
            if allowed {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(allowed, "{user} may not {request}");
    }
    for (user, request) in refused {
        assert!(!may(&client, user, &namespace, &request).await, "{user} may {request}");
    }
}

#[test]
fn the_role_of_submitters_is_part_of_no_other_role_and_can_be_left_out() {
    let objects = render(&[]).expect("valid");
    let role = named(&of_kind(&objects, "ClusterRole"), "lifeguard-submitter")[0];
    assert_eq!(
        rules(role),
        lines(&["get,list,watch,create,update,patch,delete lifeguard.dev/commandjobs"])
    );
    let labels = role["metadata"]["labels"].as_object().expect("labels");
    assert!(labels.keys().all(|it| !it.contains("aggregate")), "{labels:?}");
    let none = render(&["rbac={\"aggregate\":false,\"submitter\":false}"]).expect("valid");
    let roles = of_kind(&none, "ClusterRole");
    assert_eq!(roles.len(), named(&roles, "lifeguard").len());
}
