//! Of ResourceGroup.

use serde_json::json;

use super::Change::Create;
use super::{Case, cannot_change};

pub fn cases() -> Vec<Case> {
    vec![
        Case {
            kind: "ResourceGroup",
            path: "spec",
            rule: "azureName may hold letters, digits and -_().  and may not end with a dot",
            accepted: Create(json!({"azureName": "My_group.(2)-x"})),
            refused: Create(json!({"azureName": "ends-with-a-dot."})),
        },
        cannot_change(
            "ResourceGroup",
            "azureName",
            &json!("one"),
            &json!("two"),
            "azureName cannot be changed; create another object",
        ),
        cannot_change(
            "ResourceGroup",
            "location",
            &json!("westeurope"),
            &json!("eastus"),
            "location cannot be changed: Azure moves no resource group",
        ),
    ]
}
