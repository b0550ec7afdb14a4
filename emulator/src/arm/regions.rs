//! Regions, with the names that answers and paths spell differently.

/// Regions with session pools, by display name (Container Apps documentation, 2025/26).
pub const REGIONS: &[&str] = &[
    "Australia East",
    "Australia Southeast",
    "Brazil South",
    "Canada Central",
    "Canada East",
    "Central India",
    "Central US",
    "East Asia",
    "East US",
    "East US 2",
    "France Central",
    "France South",
    "Germany West Central",
    "Italy North",
    "Japan East",
    "Japan West",
    "Korea Central",
    "North Central US",
    "North Europe",
    "Norway East",
    "Poland Central",
    "South Africa North",
    "South India",
    "Southeast Asia",
    "Spain Central",
    "Sweden Central",
    "Switzerland North",
    "Switzerland West",
    "UAE North",
    "UK South",
    "UK West",
    "West Central US",
    "West Europe",
    "West US",
    "West US 2",
    "West US 3",
];

/// A region as paths spell it: `North Central US` is `northcentralus`.
pub fn normalise(location: &str) -> String {
    location
        .chars()
        .filter(|character| !character.is_whitespace())
        .collect::<String>()
        .to_ascii_lowercase()
}

/// The display name of a region, however it is spelt; `None` if there is no such region.
pub fn display_name(location: &str) -> Option<&'static str> {
    let wanted = normalise(location);
    REGIONS.iter().copied().find(|region| normalise(region) == wanted)
}
