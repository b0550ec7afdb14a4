//! The scopes of tokens.

/// The scope of a token request: the audience with `/.default`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TokenScope(String);

impl TokenScope {
    /// The scope of an audience such as `https://dynamicsessions.io`, with or without a slash at its end.
    pub fn of_audience(audience: &str) -> Self {
        Self(format!("{}/.default", audience.trim_end_matches('/')))
    }

    /// The audience alone, as the endpoints of managed identities expect it.
    pub fn audience(&self) -> &str {
        self.0.strip_suffix("/.default").unwrap_or(&self.0)
    }

    /// The scope as Entra ID expects it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::TokenScope;

    #[test]
    fn a_slash_at_the_end_of_an_audience_does_not_make_another_scope() {
        let scope = TokenScope::of_audience("https://management.azure.com/");
        assert_eq!(scope, TokenScope::of_audience("https://management.azure.com"));
        assert_eq!(scope.as_str(), "https://management.azure.com/.default");
        assert_eq!(scope.audience(), "https://management.azure.com");
    }
}
