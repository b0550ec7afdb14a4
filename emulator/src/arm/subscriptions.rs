//! Subscriptions, tenants and locations.

use serde_json::{Value, json};

use super::{ArmError, ArmReply, ArmRequest, access, paging, regions};
use crate::store::{Store, Subscription};

/// `GET /subscriptions`: those in which the principal has any role.
pub fn list(request: &ArmRequest<'_>, store: &Store) -> ArmReply {
    let visible = |subscription: &Subscription| {
        let scope = format!("/subscriptions/{}", subscription.id).to_ascii_lowercase();
        store.assignments.iter().any(|assignment| {
            let assigned = assignment.scope.to_ascii_lowercase();
            assignment.effective <= request.now
                && assignment
                    .principal_id
                    .eq_ignore_ascii_case(&request.principal.object_id)
                && (crate::roles::covers(&assigned, &scope) || crate::roles::covers(&scope, &assigned))
        })
    };
    let items = store
        .subscriptions
        .iter()
        .filter(|one| visible(one))
        .map(|one| render(one, &store.tenant_id))
        .collect();
    paging::page(request, items)
}

/// `GET /subscriptions/{s}`.
pub fn get(request: &ArmRequest<'_>, store: &Store, id: &str) -> Result<ArmReply, ArmError> {
    let scope = format!("/subscriptions/{id}");
    access::authorize(request, store, &scope, "Microsoft.Resources/subscriptions/read")?;
    let found = store.subscriptions.iter().find(|one| one.id == id);
    Ok(ArmReply::ok(
        found.map_or(Value::Null, |one| render(one, &store.tenant_id)),
    ))
}

/// `GET /subscriptions/{s}/locations`.
pub fn locations(request: &ArmRequest<'_>, store: &Store, id: &str) -> Result<ArmReply, ArmError> {
    let scope = format!("/subscriptions/{id}");
    access::authorize(
        request,
        store,
        &scope,
        "Microsoft.Resources/subscriptions/locations/read",
    )?;
    let items: Vec<Value> = regions::REGIONS
        .iter()
        .map(|display| {
            let name = regions::normalise(display);
            json!({
                "id": format!("{scope}/locations/{name}"),
                "name": name,
                "type": "Region",
                "displayName": display,
                "regionalDisplayName": display,
                "metadata": { "regionType": "Physical", "regionCategory": "Recommended" },
            })
        })
        .collect();
    Ok(ArmReply::ok(json!({ "value": items })))
}

/// `GET /tenants`.
pub fn tenants(request: &ArmRequest<'_>, store: &Store) -> ArmReply {
    let tenant = &store.tenant_id;
    let item = json!({
        "id": format!("/tenants/{tenant}"),
        "tenantId": tenant,
        "countryCode": "US",
        "displayName": "Azure emulator",
        "domains": ["emulator.onmicrosoft.com"],
        "tenantCategory": "Home",
        "defaultDomain": "emulator.onmicrosoft.com",
        "tenantType": "AAD",
    });
    paging::page(request, vec![item])
}

fn render(subscription: &Subscription, tenant: &str) -> Value {
    json!({
        "id": format!("/subscriptions/{}", subscription.id),
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "subscriptionId": subscription.id,
        "tenantId": tenant,
        "displayName": subscription.display_name,
        "state": "Enabled",
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01",
            "quotaId": "PayAsYouGo_2014-09-01",
            "spendingLimit": "Off",
        },
    })
}
