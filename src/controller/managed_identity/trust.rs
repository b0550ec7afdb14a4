//! Whom the installation lets identities trust. Pure.
//!
//! Whoever may act as an identity in Azure needs no right in the cluster any more. So that an issuer of somebody's own is not a
//! way out of it, the list of issuers is the administrator's of the installation alone: it comes from the operator's command
//! line.

use std::sync::Arc;

/// The issuers that federated credentials may trust besides the cluster's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedIssuers(Arc<[String]>);

/// Whether an issuer may be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// It may.
    Allowed,
    /// It may not.
    Refused,
    /// It is not on the list, and whether it is the cluster's own is not known.
    Unknown,
}

impl AllowedIssuers {
    /// The list of the command line, in which `*` stands for every issuer.
    pub fn new(listed: &[String]) -> Self {
        Self(listed.into())
    }

    /// Whether an issuer is on the list. Microsoft Entra ID compares every character, and so does the list.
    pub fn list(&self, issuer: &str) -> bool {
        self.0.iter().any(|listed| listed == "*" || listed == issuer)
    }

    /// Whether an issuer may be trusted, in a cluster with this one.
    pub fn trust(&self, issuer: &str, cluster_issuer: Option<&str>) -> Trust {
        match cluster_issuer {
            _ if self.list(issuer) => Trust::Allowed,
            None => Trust::Unknown,
            Some(own) if own == issuer => Trust::Allowed,
            Some(_) => Trust::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_trusted_if_it_is_listed_or_the_clusters_own_in_every_character() {
        use Trust::{Allowed, Refused, Unknown};
        let own = Some("https://cluster");
        for (listed, issuer, cluster, expected) in [
            (&[][..], "https://cluster", own, Allowed),
            (&[], "https://cluster/", own, Refused),
            (&[], "https://CLUSTER", own, Refused),
            (&[], "https://ci", own, Refused),
            (&["https://ci"], "https://ci", own, Allowed),
            (&["https://ci"], "https://ci.evil", own, Refused),
            (&["https://ci"], "https://ci/x", own, Refused),
            (&["https://ci"], "https://cluster", own, Allowed),
            (&["*"], "https://anybody", own, Allowed),
            (&["*"], "https://anybody", None, Allowed),
            (&["https://ci"], "https://ci", None, Allowed),
            (&["https://ci"], "https://other", None, Unknown),
        ] {
            let listed: Vec<String> = listed.iter().map(|&it: &&str| it.to_owned()).collect();
            let found = AllowedIssuers::new(&listed).trust(issuer, cluster);
            assert_eq!(found, expected, "{listed:?} {issuer} {cluster:?}");
        }
    }
}
