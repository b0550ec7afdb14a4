//! Azure regions as ARM spells them.

use std::fmt;

/// A region in the normalised form: lower case, without spaces.
///
/// ARM accepts `northcentralus` and may return `North Central US` for the same region (recorded for session pools,
/// 2024-10-02-preview), so two locations are compared in this form only.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location(String);

impl Location {
    /// Normalises any spelling of a region.
    pub fn new(spelling: &str) -> Self {
        Self(
            spelling
                .chars()
                .filter(|c| !c.is_whitespace())
                .flat_map(char::to_lowercase)
                .collect(),
        )
    }

    /// The normalised name, as ARM accepts it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Location;

    #[test]
    fn a_display_name_and_a_name_are_the_same_region() {
        assert_eq!(Location::new("North Central US"), Location::new("northcentralus"));
        assert_eq!(Location::new(" West Europe ").as_str(), "westeurope");
        assert_ne!(Location::new("East US"), Location::new("East US 2"));
    }
}
