//! What an identity has to outlive.

use crate::api::ManagedIdentity;
use crate::controller::azure_resource::account_id;
use crate::controller::context::Context;
use crate::runtime::ObjectId;

/// What the identity has to outlive, as `KIND NAME`: what is assigned or attached still, pools that go as well, and accounts
/// that objects are removed from Azure with. Its own account waits for it.
pub async fn occupants(context: &Context, identity: &ManagedIdentity) -> Vec<String> {
    let own_account = account_id(identity);
    let needing = context.references().needed_by(&ObjectId::of(identity)).await;
    let others = needing.into_iter().filter(|it| *it != own_account);
    others.map(|it| format!("{} {}", it.kind, it.key.name)).collect()
}
