{{/*
What the operator may do in the namespaces that it works in: the rules of the ClusterRole or, with `watchNamespaces`, of
a Role in each of them. Every verb is used; a test keeps the list.
*/}}
{{- define "lifeguard.rules" -}}
# Its own kinds are followed by list and watch.
- apiGroups: [lifeguard.dev]
  resources: [azureaccounts, resourcegroups, sessionpools, managedidentities, roleassignments, identityassignments, commandjobs]
  verbs: [list, watch]
# Their status, by patch only.
- apiGroups: [lifeguard.dev]
  resources: [azureaccounts/status, resourcegroups/status, sessionpools/status, managedidentities/status, roleassignments/status, identityassignments/status, commandjobs/status]
  verbs: [patch]
# Finalizers are set and removed by a patch of the object itself. Command jobs have none, so they are not listed.
- apiGroups: [lifeguard.dev]
  resources: [azureaccounts, resourcegroups, sessionpools, managedidentities, roleassignments, identityassignments]
  verbs: [patch]
# Finished command jobs are deleted after ttlSecondsAfterFinished, once they were read again.
- apiGroups: [lifeguard.dev]
  resources: [commandjobs]
  verbs: [get, delete]
# Client secrets, pool secrets and environment variables, each read by the name that an object of the same namespace
# gives. They are never listed or watched.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
# Environment variables are read from ConfigMaps{{ if .Values.rbac.writeConfigMaps }}; output beyond maxBytes is written to new ones that the job owns. The ids
# of an identity, and the endpoints of a pool, are kept in one that the object owns, which is deleted when the spec no longer
# names it{{ end }}.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get{{ if .Values.rbac.writeConfigMaps }}, create, update, delete{{ end }}]
# The labels of a job's namespace, for the sharing of a pool{{ if not .Values.watchNamespaces }}; the UID of kube-system, as the cluster's id{{ end }}.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
{{- with .Values.workloadIdentity.serviceAccountNames }}
# Tokens that are exchanged for Azure's (workload identity federation), of the ServiceAccounts that the values name.
- apiGroups: [""]
  resources: [serviceaccounts/token]
  resourceNames:
    {{- range . }}
    - {{ . }}
    {{- end }}
  verbs: [create]
{{- end }}
# Events about transitions.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end -}}
