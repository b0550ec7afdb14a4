//! Members of JSON objects, without regard to case, as ARM reads them.

use serde_json::Value;

/// The member `name` of an object, whatever its case; `None` for anything but an object.
pub fn get<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let members = value.as_object()?;
    members.get(name).or_else(|| {
        members
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    })
}

/// The same, unless it is null.
pub fn present<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    get(value, name).filter(|one| !one.is_null())
}

/// The string member `name` of an object, whatever the name's case.
pub fn get_str<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    get(value, name)?.as_str()
}
