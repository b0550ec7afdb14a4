//! The body of a PUT: what a resource is, overlaid with what it should be.

use serde_json::{Map, Value, json};

use super::comparison::{Place, Shape, array_key, has_key, key_of, member};
use super::identity_block::{IdentityBlock, Spelling};

/// The member of a resource with its managed identities.
const IDENTITY: &str = "identity";

/// Makes the body of a PUT from a GET's answer and the desired part: what is desired wins, what is not desired is kept,
/// what ARM sets itself is left out, and so is what is `null`. An array that is desired is desired as a whole, but
/// members of its elements that are not desired are kept, where the element is known by name or by position. The identities
/// of a resource are desired as a whole, and sent without what Azure adds to them.
pub fn overlay(actual: &Value, desired: &Value, shape: &Shape) -> Value {
    let mut body = writable(&Place::root(), actual, shape);
    merge(&mut body, desired);
    if let Some(resource) = body.as_object_mut()
        && let Some(spelled) = member(resource, IDENTITY).map(|(spelled, _)| spelled.clone())
    {
        let kept = resource.remove(&spelled).unwrap_or_default();
        let block = match desired.get(IDENTITY).filter(|block| !block.is_null()) {
            Some(_) => IdentityBlock::of(desired),
            None => IdentityBlock::of(&json!({IDENTITY: kept})),
        };
        resource.insert(IDENTITY.to_owned(), block.replacement(Spelling::Joined));
    }
    body
}

/// The part of a body that has only these members; `None` where it lacks one. Paths are written as those of [`Shape`]s.
pub fn only<'a>(body: &Value, paths: impl IntoIterator<Item = &'a str>) -> Option<Value> {
    let mut part = json!({});
    for path in paths {
        let (mut from, mut into) = (body, &mut part);
        for name in path.split('.') {
            let (spelled, value) = member(from.as_object()?, name)?;
            from = value;
            into = into.as_object_mut()?.entry(spelled).or_insert_with(|| json!({}));
        }
        *into = from.clone();
    }
    Some(part)
}

/// A resource without what ARM sets itself and without nulls.
fn writable(place: &Place, value: &Value, shape: &Shape) -> Value {
    match value {
        Value::Object(object) => Value::Object(
            object
                .iter()
                .map(|(name, value)| (place.member(name), name, value))
                .filter(|(place, _, value)| !value.is_null() && !place.is_one_of(shape.read_only))
                .map(|(place, name, value)| (name.clone(), writable(&place, value, shape)))
                .collect(),
        ),
        Value::Array(elements) => {
            Value::Array(elements.iter().map(|element| writable(place, element, shape)).collect())
        }
        scalar => scalar.clone(),
    }
}

fn merge(body: &mut Value, desired: &Value) {
    match desired {
        Value::Null => {}
        Value::Object(desired) => {
            if !body.is_object() {
                *body = Value::Object(Map::new());
            }
            let Value::Object(body) = body else { return };
            for (name, value) in desired.iter().filter(|(_, value)| !value.is_null()) {
                // ARM may have answered in another case; two spellings of one member must not both be sent.
                let spelled = member(body, name).map(|(spelled, _)| spelled.clone());
                let mut merged = spelled.and_then(|spelled| body.remove(&spelled)).unwrap_or_default();
                merge(&mut merged, value);
                body.insert(name.clone(), merged);
            }
        }
        Value::Array(desired) => {
            let known = body.as_array_mut().map(std::mem::take).unwrap_or_default();
            *body = Value::Array(merge_array(&known, desired));
        }
        scalar => *body = scalar.clone(),
    }
}

fn merge_array(known: &[Value], desired: &[Value]) -> Vec<Value> {
    let key = array_key(desired, known);
    desired
        .iter()
        .enumerate()
        .map(|(position, element)| {
            let partner = match key {
                Some(key) => known
                    .iter()
                    .find(|other| has_key(other, key, key_of(element, key).unwrap_or_default())),
                None => known.get(position),
            };
            let mut merged = partner.cloned().unwrap_or_default();
            merge(&mut merged, element);
            merged
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::{only, overlay};
    use crate::azure::comparison::{Shape, compare};
    use crate::azure::session_pool::SHAPE;

    const PLAIN: Shape = Shape {
        read_only: &["id"],
        write_only: &["secret"],
        identifiers: &[],
        case_insensitive: &[],
        added: &[],
    };

    #[test]
    fn a_part_of_a_body_has_the_members_that_are_named_as_they_are_spelled() {
        let body =
            json!({"tags": {"a": "b"}, "Properties": {"scaleConfiguration": {"x": 1}, "other": 2}, "location": "l"});
        let paths = ["tags", "properties.scaleconfiguration"];
        assert_eq!(
            only(&body, paths),
            Some(json!({"tags": {"a": "b"}, "Properties": {"scaleConfiguration": {"x": 1}}}))
        );
        assert_eq!(only(&body, ["properties.absent"]), None);
    }

    #[test]
    fn what_is_not_desired_is_kept_and_what_arm_sets_is_left_out() {
        let actual = json!({
            "id": "/subscriptions/s", "name": "p", "type": "Microsoft.App/sessionpools", "location": "West US 2",
            "tags": {"team": "a"}, "systemData": {"createdBy": "x"}, "identity": {"type": "None"},
            "properties": {
                "environmentId": null, "nodeCount": 3, "provisioningState": "Succeeded",
                "poolManagementEndpoint": "https://x", "containerType": "Shell",
                "scaleConfiguration": {"maxConcurrentSessions": 5},
                "dynamicPoolConfiguration": {"lifecycleConfiguration": {"lifecycleType": "Timed", "cooldownPeriodInSeconds": 300}},
            },
        });
        let desired = json!({"location": "westus2", "properties": {
            "scaleConfiguration": {"maxConcurrentSessions": 9},
            "sessionNetworkConfiguration": {"status": "EgressEnabled"},
        }});
        assert_eq!(
            overlay(&actual, &desired, &SHAPE),
            json!({
                "location": "westus2", "tags": {"team": "a"}, "identity": {"type": "None"},
                "properties": {
                    "containerType": "Shell",
                    "scaleConfiguration": {"maxConcurrentSessions": 9},
                    "dynamicPoolConfiguration": {"lifecycleConfiguration": {"lifecycleType": "Timed", "cooldownPeriodInSeconds": 300}},
                    "sessionNetworkConfiguration": {"status": "EgressEnabled"},
                },
            })
        );
    }

    #[test]
    fn elements_keep_what_the_service_added_to_them() {
        let actual = json!({"c": [{"name": "b", "probe": 1}, {"name": "a", "image": "old", "probe": 2}]});
        let desired = json!({"c": [{"name": "a", "image": "new"}]});
        assert_eq!(
            overlay(&actual, &desired, &PLAIN),
            json!({"c": [{"name": "a", "image": "new", "probe": 2}]})
        );
    }

    #[test]
    fn a_member_in_another_case_is_not_sent_twice() {
        let actual = json!({"mcPServerSettings": {"isMCPServerEnabled": false, "x": 1}});
        let desired = json!({"mcpServerSettings": {"isMcpServerEnabled": true}});
        let expected = json!({"mcpServerSettings": {"isMcpServerEnabled": true, "x": 1}});
        assert_eq!(overlay(&actual, &desired, &PLAIN), expected);
    }

    #[test]
    fn identities_are_replaced_as_a_whole_or_kept_as_they_are() {
        let attached = json!({"type": "SystemAssigned, UserAssigned", "principalId": "p", "tenantId": "t",
            "userAssignedIdentities": {"/a": {"principalId": "q", "clientId": "c"}, "/b": {}}});
        let actual = json!({"Identity": attached, "properties": {}});
        let kept = json!({"type": "SystemAssigned,UserAssigned", "userAssignedIdentities": {"/a": {}, "/b": {}}});
        assert_eq!(overlay(&actual, &json!({}), &SHAPE)["identity"], kept);
        for (desired, sent) in [
            (
                json!({"type": "UserAssigned", "userAssignedIdentities": {"/A": {"principalId": "other"}}}),
                json!({"type": "UserAssigned", "userAssignedIdentities": {"/A": {}}}),
            ),
            (json!({"type": "SystemAssigned"}), json!({"type": "SystemAssigned"})),
            (json!({"type": "None"}), json!({"type": "None"})),
        ] {
            let desired = json!({"identity": desired});
            let body = overlay(&actual, &desired, &SHAPE);
            assert_eq!(body["identity"], sent);
            assert_eq!(body.get("Identity"), None);
            assert!(!compare(&desired, &json!({"identity": attached}), &SHAPE).is_equal());
            assert!(compare(&desired, &body, &SHAPE).is_equal(), "{body}");
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0i64..5).prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from),
        ];
        scalar.prop_recursive(4, 40, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::vec(("[a-c]", inner.clone()), 0..4).prop_map(|elements| {
                    let named = elements
                        .into_iter()
                        .map(|(name, value)| json!({"name": name, "value": value}));
                    Value::Array(named.collect())
                }),
                prop::collection::btree_map("[a-c]", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    /// The same members in another case.
    fn shout(value: &Value) -> Value {
        match value {
            Value::Object(members) => Value::Object(
                members
                    .iter()
                    .map(|(k, v)| (k.to_ascii_uppercase(), shout(v)))
                    .collect(),
            ),
            Value::Array(elements) => Value::Array(elements.iter().map(shout).collect()),
            scalar => scalar.clone(),
        }
    }

    fn object() -> impl Strategy<Value = Value> {
        prop::collection::btree_map("[a-d]", any_value(), 0..4)
            .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>()))
    }

    proptest! {
        #[test]
        fn what_was_overlaid_has_no_difference_left(actual in object(), desired in object()) {
            for actual in [actual.clone(), shout(&actual)] {
                let body = overlay(&actual, &desired, &PLAIN);
                let comparison = compare(&desired, &body, &PLAIN);
                prop_assert!(comparison.is_equal(), "{:?} in {body}", comparison.differences);
                prop_assert_eq!(overlay(&body, &desired, &PLAIN), body);
            }
        }

        #[test]
        fn members_that_are_not_desired_are_kept(actual in object(), desired in object()) {
            let body = overlay(&actual, &desired, &PLAIN);
            for (name, value) in actual.as_object().expect("an object") {
                if desired.get(name).is_none_or(Value::is_null) && !value.is_null() {
                    prop_assert!(body.get(name).is_some());
                }
            }
        }

        #[test]
        fn a_value_equals_itself_in_any_case_of_its_members(value in object()) {
            prop_assert!(compare(&value, &shout(&value), &PLAIN).is_equal());
        }
    }
}
