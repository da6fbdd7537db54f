//! The callers of a method, as its contract names them (`option (mesh.v1.access)`).

/// The rule by which a call of a method is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The callers.
    pub callers: Callers,
    /// A condition in CEL that their calls also have to meet, over identity, request and metadata.
    pub condition: Option<Box<str>>,
}

/// The callers of a method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Callers {
    /// All, without a credential too.
    Public,
    /// All whose credential was verified.
    Authenticated,
    /// Those with one of the roles, if there are any, and with all of the scopes.
    Granted {
        /// The roles, of which a caller needs one; empty: none.
        roles: Vec<Box<str>>,
        /// The scopes, of which a caller needs each.
        scopes: Vec<Box<str>>,
    },
}

// === impl Access ===

impl Access {
    /// Returns whether callers without a credential are let in.
    pub fn is_public(&self) -> bool {
        self.callers == Callers::Public
    }
}
