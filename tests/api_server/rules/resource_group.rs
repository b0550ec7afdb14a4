//! Of ResourceGroup.

use serde_json::json;

use super::Change::Create;
use super::{Case, named_and_placed};

pub fn cases() -> Vec<Case> {
    let mut cases = vec![Case {
        kind: "ResourceGroup",
        path: "spec",
        rule: "azureName may contain letters, digits, hyphens, underscores, parentheses and dots, and must not end with a dot",
        accepted: Create(json!({"azureName": "My_group.(2)-x"})),
        refused: Create(json!({"azureName": "ends-with-a-dot."})),
    }];
    cases.extend(named_and_placed(
        "ResourceGroup",
        "location cannot be changed: Azure cannot move a resource group to another region",
    ));
    cases
}
