//! What only the operator can put behind a mark, and what it holds for: these words on this resource.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::azure::ResourceId;
use crate::controller::operator_key::OperatorKey;

/// Bytes of the HMAC that are kept. Nobody can try one without a write to Azure and a look of the operator, so 72 bits are enough,
/// and more would not fit into a tag beside the longest names.
const SEAL_BYTES: usize = 9;

/// Characters of a seal.
pub const SEAL_LENGTH: usize = SEAL_BYTES * 4 / 3;

/// The seal of an owner, as text, on a resource. It is of no use on another resource, nor with other words.
pub fn seal(key: &OperatorKey, id: &ResourceId, owner: &str) -> String {
    let id = id.key();
    let mac = key.derive("owner mark", [id.as_bytes(), owner.as_bytes()]);
    URL_SAFE_NO_PAD.encode(&mac[..SEAL_BYTES])
}

/// Whether a mark is sealed on this resource under this key.
pub fn is_sealed(key: &OperatorKey, id: &ResourceId, mark: &str) -> bool {
    mark.rsplit_once('/')
        .is_some_and(|(owner, found)| seal(key, id, owner) == found)
}
