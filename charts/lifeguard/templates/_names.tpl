{{/* The name of everything in the release: `lifeguard`, or `RELEASE-lifeguard`. */}}
{{- define "lifeguard.name" -}}
{{- if contains "lifeguard" .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-lifeguard" (.Release.Name | trunc 42 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{/* What selects the operator's pods; it can never change for a Deployment that exists. */}}
{{- define "lifeguard.selectorLabels" -}}
app.kubernetes.io/name: lifeguard
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "lifeguard.labels" -}}
{{ include "lifeguard.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* The operator's ServiceAccount as the subject of a binding. */}}
{{- define "lifeguard.subject" -}}
- kind: ServiceAccount
  name: {{ include "lifeguard.name" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}
