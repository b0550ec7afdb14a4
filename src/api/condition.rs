//! Condition types and the closed list of reasons.

/// Condition types that the kinds use, besides those of Jobs.
pub mod kind {
    /// True when the object is what its spec says and may be used.
    pub const READY: &str = "Ready";
    /// Present and true while work is under way (kstatus).
    pub const RECONCILING: &str = "Reconciling";
    /// Present and true while nothing will happen until somebody acts (kstatus).
    pub const STALLED: &str = "Stalled";
    /// Whether Azure has what the spec says.
    pub const IN_SYNC: &str = "InSync";
    /// Whether Azure has the resource and it can be used, be it as the spec says or not: those who refer to the object go by
    /// this, so that what works is not stopped because a change of it cannot be made.
    pub const PROVISIONED: &str = "Provisioned";
    /// False where whoever holds the account of a CommandJob could enter sessions of others; absent elsewhere.
    pub const ISOLATED: &str = "Isolated";
    /// False on a SessionPool that refuses sessions again and again although it should have some; absent if it never did.
    pub const SESSIONS_AVAILABLE: &str = "SessionsAvailable";
    /// True once a CommandJob's command ended with exit code 0, as for a Job.
    pub const COMPLETE: &str = "Complete";
    /// True once a CommandJob ended in any other way, as for a Job.
    pub const FAILED: &str = "Failed";
    /// True while a CommandJob is suspended, false once it was resumed, as for a Job.
    pub const SUSPENDED: &str = "Suspended";
}

/// Declares the closed list of condition reasons: variant, text for the documentation.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Why a condition is as it is: the closed list of reasons that `status.conditions[].reason` can hold.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[doc = $doc])+ $name,)+ }

        impl Reason {
            /// Every reason, in order.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)+];

            /// The text in `reason`.
            pub fn as_str(self) -> &'static str {
                match self { $(Reason::$name => stringify!($name),)+ }
            }

            /// What the reason means and who can do what about it: the text of the documentation.
            pub fn explanation(self) -> &'static str {
                match self { $(Reason::$name => concat!($($doc),+).trim_ascii(),)+ }
            }
        }

        impl std::fmt::Display for Reason {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

reasons! {
    /// The object is what its spec says.
    Available,
    /// The object was accepted; the operator has not compared it with Azure yet.
    Pending,
    /// The Azure resource is being created.
    Creating,
    /// The Azure resource is being changed.
    Updating,
    /// Azure reports that an operation on the resource is still running.
    Provisioning,
    /// The Azure resource is being deleted.
    Deleting,
    /// The resource provider is being registered for the subscription.
    RegisteringProvider,
    /// The Azure resource differs from the spec: the policy forbids changing it, or Azure keeps its own value. See `status.drift`.
    Drifted,
    /// The object is suspended: Azure is observed, nothing is changed; of a job no attempt begins.
    Suspended,
    /// A resource of that name exists and was not created by this object; set `adoptionPolicy` or choose another name.
    AlreadyExists,
    /// The Azure resource carries the owner tag of another cluster or object and is never taken over.
    OwnedByAnother,
    /// The resource is expected to exist (by `adoptionPolicy: MustExist` or `managementPolicy: ObserveOnly`, or as the
    /// target of an IdentityAssignment) and does not.
    NotFound,
    /// The AzureAccount that the object uses does not exist in this namespace.
    AccountNotFound,
    /// The AzureAccount that the object uses, or that a pool lends to it, is not ready.
    AccountNotReady,
    /// The object named by a reference does not exist.
    ReferenceNotFound,
    /// The object named by a reference is not ready yet.
    ReferenceNotReady,
    /// No pool of that name is shared with this namespace (`spec.sharing` of the pool).
    NamespaceNotAllowed,
    /// The target cannot be used for this: a pool whose container type runs no shell commands, or a container group
    /// that would lose values that Azure does not return if its identities were changed.
    UnsupportedTarget,
    /// A Secret or a key of it does not exist.
    SecretNotFound,
    /// A ConfigMap or a key of it does not exist.
    ConfigMapNotFound,
    /// A ServiceAccount that is to be used for workload identity does not exist.
    ServiceAccountNotFound,
    /// The credential was refused: a wrong or expired secret, or an unknown application or tenant.
    InvalidCredential,
    /// The credential is valid but lacks a permission in Azure.
    Unauthorized,
    /// The API server of the cluster does not allow what the operator has to do for the object: the operator lacks a right, or a
    /// quota or an admission policy forbids it. The message is the API server's; the operator tries again every minute.
    Forbidden,
    /// The subscription does not exist or is not visible to the credential.
    SubscriptionNotFound,
    /// Azure refused the request. The operator sends it again after a minute, then ever more slowly, and at once when the spec
    /// changes.
    Rejected,
    /// The spec asks for a change that Azure cannot make to an existing resource.
    ImmutableChange,
    /// The cloud has no dynamic sessions, or the endpoint that Azure returned is not one of its own.
    UnsupportedCloud,
    /// Azure or the network does not respond as expected; the operator tries again.
    Unavailable,
    /// Azure throttles requests; the operator tries again at the time that Azure named.
    Throttled,
    /// The resource group holds resources that Lifeguard does not manage; they are named in the message.
    GroupNotEmpty,
    /// No token can be obtained any more, so nothing can be deleted; see the annotation `lifeguard.dev/abandon`.
    CredentialGone,
    /// Objects that use the account still have to be removed from Azure.
    InUse,
    /// The spec is not valid in a way that the API server could not check.
    InvalidSpec,
    /// The Azure operation on the resource failed or was cancelled.
    ProvisioningFailed,
    /// The operator has a bug; see its logs.
    InternalError,
    /// The installation does not allow this role to be assigned at this scope; its administrator can change that.
    RoleNotGrantable,
    /// No role of that name or GUID exists at the scope.
    RoleNotFound,
    /// A federated credential trusts an issuer that the installation does not allow; its administrator can change that.
    IssuerNotAllowed,
    /// Microsoft Entra ID does not know the principal yet, or no longer.
    PrincipalNotFound,
    /// Azure does not know a managed identity that is to be attached yet, or no longer; the message has its id.
    IdentityNotFound,
    /// The pool refuses the account, whose role may not be in effect yet; the job waits for it for up to ten minutes.
    RolePropagating,
    /// Microsoft Entra ID does not know a new identity or its federated credential yet; this can take some minutes.
    FederationPropagating,
    /// The object asks for a ConfigMap, and the installation does not allow Lifeguard to write any; its administrator can
    /// change that.
    ConfigMapsNotAllowed,
    /// The pool is managed by a SessionPool object; set its identities in that object's `spec.identity`.
    UseSpecIdentity,
    /// The installation does not allow this namespace to use the operator's own identity; its administrator can change that.
    HostIdentityNotAllowed,
    /// The job enters the pool of another namespace as an account of its own namespace. With its role that account may list and
    /// enter every session of the pool; guests need no such role if the pool lends them an account (`sharing[].accountRef`).
    OwnAccountInSharedPool,
    /// Every session of the pool is in use; the job starts when one is free.
    PoolExhausted,
    /// The input or output of other commands takes the memory that the operator has for it; the job continues when some is free.
    OperatorBusy,
    /// The command is being prepared or runs.
    Running,
    /// The command ended with exit code 0.
    CommandSucceeded,
    /// The command ended with another exit code.
    NonZeroExitCode,
    /// The command ran longer than `timeoutSeconds` and was killed, or the job was active for longer than `activeDeadlineSeconds`.
    DeadlineExceeded,
    /// It cannot be known whether the command ran to its end: its session was replaced, died or could not be reached, or its pool was
    /// deleted; the message says which. It is not run again unless `backoffLimit` or `failurePolicy` says so.
    Lost,
    /// The job was cancelled.
    Cancelled,
    /// An attempt failed and another one follows after a pause, which the message names.
    BackingOff,
    /// The job is suspended, as for a Job.
    JobSuspended,
    /// The job was suspended and has been resumed, as for a Job.
    JobResumed,
    /// Each of three sessions could not prepare the command, or each of ten starts came too late; the command was not started.
    PreparationFailed,
    /// The result does not fit into the object; the streams were cut.
    ResultTooLarge,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_a_valid_condition_reason_and_is_explained() {
        for reason in Reason::ALL {
            assert!(reason.as_str().chars().all(|c| c.is_ascii_alphanumeric()), "{reason}");
            assert!(reason.explanation().len() > 20, "{reason}");
        }
    }
}
