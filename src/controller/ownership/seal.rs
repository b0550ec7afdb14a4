//! What only the operator can put behind a mark, and what it holds for: these words on this resource.

use crate::azure::ResourceId;
use crate::controller::operator_key::{OperatorKey, hex};

/// Hexadecimal digits of the HMAC that are kept. Nobody can try one without a write to Azure and a look of the operator, so 60
/// bits are enough, and more would not fit into a tag beside the longest names. They survive an Azure that changes case.
pub const SEAL_LENGTH: usize = 15;

/// The seal of an owner, as text, on a resource. It is of no use on another resource, nor with other words.
pub fn seal(key: &OperatorKey, id: &ResourceId, owner: &str) -> String {
    let id = id.key();
    let mut seal = hex(&key.derive("owner mark", [id.as_bytes(), owner.as_bytes()]));
    seal.truncate(SEAL_LENGTH);
    seal
}

/// Whether a mark is sealed on this resource under this key.
pub fn is_sealed(key: &OperatorKey, id: &ResourceId, mark: &str) -> bool {
    mark.rsplit_once('/')
        .is_some_and(|(owner, found)| seal(key, id, owner) == found)
}
