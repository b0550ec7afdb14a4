//! What cannot be changed, as CEL says it: what a field means, and not how it is spelled.
//!
//! Azure compares names, ids and regions without regard to letter case, and a default that is written down is the same
//! default. What only other objects can tell, such as the group that a `resourceGroupRef` names or the region of the
//! account, is accepted here: the plan decides by the id that the status holds, or by what Azure has.

/// Of an object: the name of its resource in Azure.
pub(super) const AZURE_NAME: &str = "(has(self.spec.azureName) ? self.spec.azureName : self.metadata.name).lowerAscii() == (has(oldSelf.spec.azureName) ? oldSelf.spec.azureName : oldSelf.metadata.name).lowerAscii()";

/// Of a spec: the region.
pub(super) const LOCATION: &str = "!has(self.location) || !has(oldSelf.location) || self.location.lowerAscii().replace(' ', '') == oldSelf.location.lowerAscii().replace(' ', '')";

/// Of whatever names a resource group: its name.
pub(super) const RESOURCE_GROUP: &str = "!has(self.resourceGroup) || !has(oldSelf.resourceGroup) || self.resourceGroup.lowerAscii() == oldSelf.resourceGroup.lowerAscii()";

/// Of a spec: the Container Apps environment of a pool.
pub(super) const ENVIRONMENT_ID: &str = "!has(self.environmentId) || !has(oldSelf.environmentId) || self.environmentId.lowerAscii() == oldSelf.environmentId.lowerAscii()";

/// Of a spec: who gets a role. References say who by another object, so one is never the same as an id.
pub(super) const PRINCIPAL: &str = "has(self.principal.principalId) && has(oldSelf.principal.principalId) ? self.principal.principalId.lowerAscii() == oldSelf.principal.principalId.lowerAscii() && (has(self.principal.principalType) ? self.principal.principalType : 'ServicePrincipal') == (has(oldSelf.principal.principalType) ? oldSelf.principal.principalType : 'ServicePrincipal') : self.principal == oldSelf.principal";

/// Of a spec: the role.
pub(super) const ROLE: &str = "self.role.lowerAscii() == oldSelf.role.lowerAscii()";

/// Of a spec: where a role applies.
pub(super) const SCOPE: &str = "has(self.scope.resourceId) && has(oldSelf.scope.resourceId) ? self.scope.resourceId.lowerAscii() == oldSelf.scope.resourceId.lowerAscii() : self.scope == oldSelf.scope";

/// Of a target: which type of resource it is.
pub(super) const TARGET_TYPE: &str = "has(self.containerApp) == has(oldSelf.containerApp) && has(self.containerGroup) == has(oldSelf.containerGroup) && has(self.sessionPool) == has(oldSelf.sessionPool)";

/// Of what is named by its name or by its id: the name.
pub(super) const NAME_OR_ID: &str = "has(self.name) ? (has(oldSelf.name) ? self.name.lowerAscii() == oldSelf.name.lowerAscii() : !has(oldSelf.resourceId) || oldSelf.resourceId.lowerAscii().endsWith('/' + self.name.lowerAscii())) : !has(self.resourceId) || (has(oldSelf.name) ? self.resourceId.lowerAscii().endsWith('/' + oldSelf.name.lowerAscii()) : !has(oldSelf.resourceId) || self.resourceId.lowerAscii() == oldSelf.resourceId.lowerAscii())";

/// Of a text that is the same in any letter case.
pub(super) const IN_ANY_CASE: &str = "self.lowerAscii() == oldSelf.lowerAscii()";
