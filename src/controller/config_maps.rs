//! Whether the installation lets the operator write ConfigMaps: those that ids are exported to, and those that long output is
//! kept in. What an object asks for and does not get, it says.

/// Whether ConfigMaps may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConfigMapWrites {
    /// They may.
    #[default]
    Allowed,
    /// They may not, so it is not tried.
    NotAllowed,
}

impl ConfigMapWrites {
    /// As the flag says it.
    pub fn allowed_if(is_allowed: bool) -> Self {
        if is_allowed { Self::Allowed } else { Self::NotAllowed }
    }
}

/// Why a ConfigMap is not written, and who can change it; what asked for it stands before.
pub const NOT_ALLOWED: &str = "this installation does not allow Lifeguard to write ConfigMaps; its administrator can allow it by \
    the chart's value rbac.writeConfigMaps (--write-config-maps)";
