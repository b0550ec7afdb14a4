//! One case at a time.

use crate::api::azure_resource::{AdoptionPolicy, ManagementPolicy};
use crate::api::{FINALIZER, ManagedIdentitySpec, RECONCILE_ANNOTATION};
use crate::controller::azure_resource::Occupants;
use crate::controller::config_maps::ConfigMapWrites;
use crate::controller::ownership::Origin;

use super::model::{World, export_to, named, of_issuer, owner, trusted};

fn spec(credentials: &[(&str, &str)]) -> ManagedIdentitySpec {
    ManagedIdentitySpec {
        federated_credentials: credentials.iter().map(|(name, account)| named(name, account)).collect(),
        ..ManagedIdentitySpec::default()
    }
}

fn ready(reason: &str) -> (String, String) {
    ("True".to_owned(), reason.to_owned())
}

fn not_ready(reason: &str) -> (String, String) {
    ("False".to_owned(), reason.to_owned())
}

#[test]
fn an_identity_is_made_exported_and_trusted_one_write_at_a_time() {
    let mut spec = spec(&[("one", "a"), ("two", "b")]);
    spec.export = export_to("ids");
    let mut world = World::new(spec);
    world.settle();
    assert_eq!(
        world.log,
        [
            "finalizer",
            "put",
            "record",
            "export ids",
            "record",
            "write one",
            "write two"
        ]
    );
    assert_eq!(world.ready(), ready("Available"));
    let status = world.status();
    assert_eq!(status.principal_id.as_deref(), Some("principal-1"));
    assert_eq!(status.client_id.as_deref(), Some("client-1"));
    assert_eq!(status.tenant_id.as_deref(), Some("tenant"));
    assert_eq!(status.federated_credentials, ["one", "two"]);
    assert_eq!(status.azure.exported_config_map.as_deref(), Some("ids"));
    let (_, data) = &world.config_maps["ids"];
    assert_eq!(data["principalId"], "principal-1");
    assert_eq!(data["id"], status.azure.id.unwrap());
}

#[test]
fn a_credential_that_the_spec_no_longer_names_is_removed_and_no_other() {
    let mut world = World::new(spec(&[("one", "a"), ("two", "b")]));
    world.settle();
    world.credentials.push(trusted("foreign", "c"));
    world.change(|spec| spec.federated_credentials.truncate(1));
    world.settle();
    let names: Vec<_> = world.credentials.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["one", "foreign"]);
    assert_eq!(world.status().federated_credentials, ["one"]);
}

#[test]
fn what_was_recorded_and_never_written_is_forgotten() {
    let mut world = World::new(spec(&[("one", "a")]));
    world.settle();
    let mut status = world.status();
    status.federated_credentials.push("two".to_owned());
    world.object.status = Some(status);
    world.settle();
    assert_eq!(world.status().federated_credentials, ["one"]);
    assert!(!world.log.contains(&"remove two".to_owned()));
}

#[test]
fn a_credential_that_was_written_just_now_is_removed_although_no_list_shows_it() {
    let mut world = World::new(spec(&[("one", "a")]));
    while world.credentials.is_empty() {
        world.pass();
    }
    let unseen = std::mem::take(&mut world.credentials);
    world.change(|spec| spec.federated_credentials.clear());
    world.pass();
    world.credentials = unseen;
    world.settle();
    assert!(
        world.log.contains(&"remove one".to_owned()) && world.credentials.is_empty(),
        "{:?}",
        world.log
    );
}

#[test]
fn a_namesake_is_taken_if_it_says_the_same_and_is_overwritten_by_policy_only() {
    for (account, adoption, reason, is_written) in [
        ("a", AdoptionPolicy::Never, "Available", false),
        ("other", AdoptionPolicy::Never, "AlreadyExists", false),
        ("other", AdoptionPolicy::IfExists, "Available", true),
    ] {
        let mut spec = spec(&[("One", "a"), ("two", "b")]);
        spec.azure.management.adoption_policy = adoption;
        let mut world = World::new(spec).with_identity(Some(owner()));
        world.credentials.push(trusted("one", account));
        world.settle();
        assert_eq!(world.ready().1, reason, "{}", world.message());
        assert_eq!(world.log.contains(&"write One".to_owned()), is_written, "{account}");
        assert!(
            world.log.contains(&"write two".to_owned()),
            "the others do not wait for it"
        );
        if reason == "AlreadyExists" {
            assert!(world.message().contains("One"), "{}", world.message());
            assert_eq!(world.credentials[0], trusted("one", account));
            assert_eq!(world.status().federated_credentials, ["two"]);
        }
    }
}

#[test]
fn a_credential_that_another_changed_or_removed_is_put_right() {
    let mut world = World::new(spec(&[("one", "a"), ("two", "b")]));
    world.settle();
    for _ in 0..2 {
        world.credentials = vec![trusted("one", "mallory")];
        world.settle();
        assert!(world.credentials.contains(&trusted("one", "a")) && world.credentials.contains(&trusted("two", "b")));
        assert_eq!(world.ready(), ready("Available"));
    }
}

#[test]
fn policies_that_forbid_writes_report_drift_of_credentials() {
    for (policy, suspend, is_created) in [
        (ManagementPolicy::CreateOnly, false, true),
        (ManagementPolicy::ObserveOnly, false, false),
        (ManagementPolicy::Enforce, true, false),
    ] {
        let mut world = World::new(spec(&[("one", "a"), ("two", "b")]));
        world.settle();
        world.change(|spec| {
            spec.azure.management.management_policy = policy;
            spec.azure.management.suspend = suspend;
        });
        world.credentials = vec![trusted("one", "other")];
        world.settle();
        let paths: Vec<_> = world.status().azure.drift.iter().map(|it| it.path.clone()).collect();
        let mut expected = vec!["federatedCredentials[one].subject".to_owned()];
        if !is_created {
            expected.push("federatedCredentials[two]".to_owned());
        }
        assert_eq!(paths, expected, "{policy:?}");
        assert_eq!(world.ready().0, "True");
        assert_eq!(world.credentials[0], trusted("one", "other"));
        assert_eq!(world.credentials.len() == 2, is_created);
        world.change(|spec| spec.federated_credentials.clear());
        world.settle();
        assert_eq!(
            world.credentials[0],
            trusted("one", "other"),
            "nothing is removed either"
        );
        assert!(
            world
                .status()
                .azure
                .drift
                .iter()
                .any(|it| it.path == "federatedCredentials[one]")
        );
        world.change(|spec| {
            spec.azure.management.management_policy = ManagementPolicy::Enforce;
            spec.azure.management.suspend = false;
        });
        world.settle();
        assert!(world.credentials.is_empty(), "{:?}", world.credentials);
        assert_eq!(world.status().azure.drift, []);
    }
}

#[test]
fn credentials_that_exchange_their_subjects_do_not_wait_for_each_other() {
    let mut world = World::new(spec(&[("one", "a"), ("two", "b"), ("three", "c")]));
    world.settle();
    world.change(|spec| {
        spec.federated_credentials = vec![named("one", "b"), named("two", "c"), named("three", "a")];
    });
    world.settle();
    assert_eq!(world.ready(), ready("Available"));
    for (name, account) in [("one", "b"), ("two", "c"), ("three", "a")] {
        assert!(world.credentials.contains(&trusted(name, account)), "{name}");
    }
}

#[test]
fn a_subject_that_another_credential_has_is_told_in_azures_words_and_tried_again_when_that_goes() {
    let mut world = World::new(spec(&[("one", "a")])).with_identity(Some(owner()));
    world.credentials.push(trusted("foreign", "a"));
    world.settle();
    assert_eq!(world.ready(), not_ready("Rejected"));
    assert!(
        world
            .message()
            .contains("Issuer and subject combination already exists"),
        "{}",
        world.message()
    );
    let writes = world.writes();
    for _ in 0..5 {
        world.pass();
    }
    assert_eq!(world.writes(), writes, "it is not tried again for nothing");
    world.credentials.clear();
    world.settle();
    assert_eq!(world.ready(), ready("Available"));
}

#[test]
fn a_refused_credential_is_tried_again_at_each_request_of_a_user_and_once() {
    let mut world = World::new(spec(&[("one", "a")])).with_identity(Some(owner()));
    world.credentials.push(trusted("foreign", "a"));
    world.settle();
    for request in ["first", "second"] {
        let writes = world.writes();
        let annotation = (RECONCILE_ANNOTATION.to_owned(), request.to_owned());
        world.object.metadata.annotations = Some([annotation].into());
        world.settle();
        for _ in 0..5 {
            world.pass();
        }
        assert_eq!(world.writes(), writes + 1, "{request}");
        assert_eq!(world.ready(), not_ready("Rejected"));
        assert_eq!(world.status().azure.last_handled_reconcile_at.as_deref(), Some(request));
    }
}

#[test]
fn without_the_clusters_issuer_the_other_credentials_are_written_and_the_problem_is_told() {
    let mut spec = spec(&[("one", "a")]);
    spec.federated_credentials.push(of_issuer("ci", "https://ci"));
    let mut world = World::new(spec);
    world.is_issuer_told = false;
    world.settle();
    assert_eq!(world.ready(), not_ready("InvalidSpec"));
    assert!(
        world.message().contains("--service-account-issuer"),
        "{}",
        world.message()
    );
    assert_eq!(world.credentials.len(), 1);
    world.is_issuer_told = true;
    world.settle();
    assert_eq!(world.ready(), ready("Available"));
    world.is_issuer_told = false;
    world.settle();
    assert_eq!(
        world.credentials.len(),
        2,
        "what cannot be compared just now is not removed"
    );
}

fn names(world: &World) -> Vec<&str> {
    world.credentials.iter().map(|it| it.name.as_str()).collect()
}

#[test]
fn an_issuer_that_the_installation_does_not_allow_is_not_trusted_and_the_others_are() {
    let mut spec = spec(&[("one", "a")]);
    for (name, issuer) in [
        ("ci", "https://ci"),
        ("own", "https://cluster"),
        ("evil", "https://evil"),
    ] {
        spec.federated_credentials.push(of_issuer(name, issuer));
    }
    let mut world = World::new(spec);
    world.settle();
    assert_eq!(names(&world), ["one", "ci", "own"]);
    assert_eq!(world.ready(), not_ready("IssuerNotAllowed"));
    for words in [
        "evil",
        "https://evil",
        "https://cluster",
        "managedIdentities.allowedIssuers",
    ] {
        assert!(world.message().contains(words), "{}", world.message());
    }
    world.allowed_issuers = vec!["*".to_owned()];
    world.settle();
    assert_eq!(names(&world), ["one", "ci", "own", "evil"]);
    assert_eq!(world.ready(), ready("Available"));
}

#[test]
fn what_was_written_of_an_issuer_that_is_allowed_no_longer_is_taken_back_and_what_others_wrote_stays() {
    let mut spec = spec(&[("one", "a")]);
    spec.federated_credentials.push(of_issuer("ci", "https://ci"));
    let mut world = World::new(spec);
    world.settle();
    world.allowed_issuers.clear();
    world.is_issuer_told = false;
    world.settle();
    assert_eq!(names(&world), ["one", "ci"], "it may be the cluster's own issuer");
    world.is_issuer_told = true;
    world.settle();
    assert_eq!(names(&world), ["one"]);
    assert_eq!(world.status().federated_credentials, ["one"]);
    assert_eq!(world.ready(), not_ready("IssuerNotAllowed"));
    // Somebody who may write identities in Azure does not ask the installation.
    let mut theirs = trusted("ci", "a");
    (theirs.issuer, theirs.subject) = ("https://ci".to_owned(), "s".to_owned());
    world.credentials.push(theirs);
    world.settle();
    assert_eq!(names(&world), ["one", "ci"]);
    assert_eq!(world.status().federated_credentials, ["one"]);
}

#[test]
fn an_object_that_only_observes_or_creates_removes_no_credential_of_an_issuer_that_is_not_allowed() {
    let mut spec = spec(&[]);
    spec.federated_credentials.push(of_issuer("ci", "https://ci"));
    let mut world = World::new(spec);
    world.settle();
    world.allowed_issuers.clear();
    for (policy, expected) in [
        (ManagementPolicy::ObserveOnly, ready("Available")),
        (ManagementPolicy::CreateOnly, not_ready("IssuerNotAllowed")),
    ] {
        world.change(|spec| spec.azure.management.management_policy = policy);
        world.settle();
        assert_eq!(names(&world), ["ci"]);
        assert_eq!(world.ready(), expected, "{policy:?}");
    }
    assert!(!world.status().azure.drift.is_empty());
}

#[test]
fn an_identity_that_was_deleted_behind_our_back_is_made_again_with_all_that_belongs_to_it() {
    let mut spec = spec(&[("one", "a")]);
    spec.export = export_to("ids");
    let mut world = World::new(spec);
    world.settle();
    world.actual = None;
    world.credentials.clear();
    world.pass();
    let gone = world.status();
    assert_eq!((gone.principal_id, gone.client_id, gone.tenant_id), (None, None, None));
    world.settle();
    assert_eq!(world.status().principal_id.as_deref(), Some("principal-2"));
    assert_eq!(world.config_maps["ids"].1["principalId"], "principal-2");
    assert_eq!(world.credentials, [trusted("one", "a")]);
    assert_eq!(world.ready(), ready("Available"));
}

#[test]
fn a_config_map_of_another_is_left_alone() {
    let mut spec = spec(&[]);
    spec.export = export_to("ids");
    let mut world = World::new(spec);
    world
        .config_maps
        .insert("ids".to_owned(), (false, std::collections::BTreeMap::new()));
    world.settle();
    assert_eq!(world.ready(), not_ready("AlreadyExists"));
    assert!(world.message().contains("ConfigMap ids"), "{}", world.message());
    assert!(world.config_maps["ids"].1.is_empty());
    assert_eq!(world.status().azure.exported_config_map, None);
    world.config_maps.clear();
    world.settle();
    assert_eq!(world.ready(), ready("Available"));
}

#[test]
fn an_export_that_is_changed_renamed_or_dropped_follows() {
    let mut spec = spec(&[]);
    spec.export = export_to("one");
    let mut world = World::new(spec);
    world.settle();
    let (_, data) = world.config_maps.get_mut("one").unwrap();
    data.insert("clientId".to_owned(), "forged".to_owned());
    data.insert("mine".to_owned(), "kept".to_owned());
    world.settle();
    assert_eq!(world.config_maps["one"].1["clientId"], "client-1");
    assert_eq!(world.config_maps["one"].1["mine"], "kept");
    world.change(|spec| spec.export = export_to("two"));
    world.settle();
    assert_eq!(world.config_maps.keys().collect::<Vec<_>>(), ["two"]);
    world.change(|spec| spec.export = None);
    world.settle();
    assert!(world.config_maps.is_empty());
    assert_eq!(world.status().azure.exported_config_map, None);
}

#[test]
fn where_no_config_map_may_be_written_the_identity_says_which_and_is_trusted_all_the_same() {
    let mut spec = spec(&[("one", "a")]);
    spec.export = export_to("ids");
    let mut world = World::new(spec);
    world.writes = ConfigMapWrites::NotAllowed;
    world.settle();
    assert_eq!(world.ready(), not_ready("ConfigMapsNotAllowed"));
    assert_eq!(world.status().azure.exported_config_map, None);
    assert!(world.config_maps.is_empty());
    assert_eq!(world.credentials.len(), 1, "the credential is written");

    // One of before is right for as long as nothing in it has to change, and stays when it is no longer asked for.
    world.writes = ConfigMapWrites::Allowed;
    world.settle();
    assert_eq!(world.ready(), ready("Available"));
    world.writes = ConfigMapWrites::NotAllowed;
    world.settle();
    assert_eq!(world.ready(), ready("Available"));
    world.change(|spec| spec.export = None);
    world.settle();
    assert_eq!(world.ready(), ready("Available"));
    assert_eq!(world.status().azure.exported_config_map.as_deref(), Some("ids"));
    world.writes = ConfigMapWrites::Allowed;
    world.settle();
    assert!(world.config_maps.is_empty());
    assert_eq!(world.status().azure.exported_config_map, None);
}

#[test]
fn a_deleted_object_waits_for_what_its_identity_has_to_outlive() {
    let mut world = World::new(spec(&[("one", "a")]));
    world.settle();
    world.occupants = Occupants::Ours(vec!["RoleAssignment runs".to_owned()]);
    world.delete();
    world.pass();
    assert_eq!(world.ready(), not_ready("Deleting"));
    assert!(world.message().contains("RoleAssignment runs"), "{}", world.message());
    assert!(world.actual.is_some());
    world.occupants = Occupants::None;
    world.settle();
    assert!(world.actual.is_none() && world.is_let_go());
    assert_eq!(
        world.log.last_chunk::<2>(),
        Some(&["delete".to_owned(), "release".to_owned()])
    );
}

#[test]
fn an_adopted_identity_is_kept_with_the_credentials_of_others() {
    let mut spec = spec(&[("one", "a")]);
    spec.azure.management.adoption_policy = AdoptionPolicy::IfExists;
    let mut world = World::new(spec).with_identity(None);
    world.credentials.push(trusted("foreign", "c"));
    world.settle();
    assert_eq!(world.ready(), ready("Available"));
    assert_eq!(world.made, 1, "its principal stays");
    world.delete();
    world.settle();
    assert!(world.actual.is_some() && world.is_let_go());
    assert!(world.credentials.contains(&trusted("foreign", "c")));
}

#[test]
fn an_identity_of_another_is_not_trusted_with_anything() {
    let another = owner().with_origin(Origin::Created).to_string().replace("c1/", "c2/");
    let mut spec = spec(&[("one", "a")]);
    spec.export = export_to("ids");
    let mut world = World::new(spec).with_identity(None);
    world.actual.as_mut().unwrap()["tags"]["lifeguard-owner"] = another.into();
    world.object.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
    world.settle();
    assert_eq!(world.ready(), not_ready("OwnedByAnother"));
    assert_eq!(world.writes(), 0);
    assert_eq!(world.status().principal_id, None);
    assert!(world.config_maps.is_empty() && world.credentials.is_empty());
}
