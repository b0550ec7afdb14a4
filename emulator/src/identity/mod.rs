//! The authority (Microsoft Entra's token service) and the tokens it signs.

mod assertion;
mod authority;
mod certificate;
mod directory;
pub mod graph;
mod keys;
mod managed;
mod registrations;
mod tokens;

pub use assertion::AssertionError;
pub use authority::handle;
pub use certificate::{CertificateAssertionError, is_certificate};
pub use directory::{Application, Directory, FederatedCredential};
pub(crate) use keys::KEY_FILE;
pub use keys::{KeyError, SigningKey};
pub use managed::{ManagedCredential, ManagedIdentity, ManagedIdentityKind};
pub use registrations::{Password, Registration};
pub use tokens::{Audience, Principal, TokenError, Tokens};
