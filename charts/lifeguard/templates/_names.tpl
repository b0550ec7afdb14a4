{{/* What is installed: `lifeguard`, unless it is named otherwise. */}}
{{- define "lifeguard.application" -}}
{{- .Values.nameOverride | default "lifeguard" -}}
{{- end -}}

{{/* The name of everything in the release: `lifeguard`, or `RELEASE-lifeguard`. What some objects append fits in too. */}}
{{- define "lifeguard.name" -}}
{{- $application := include "lifeguard.application" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $application .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $application | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The image, by its digest if there is one. */}}
{{- define "lifeguard.image" -}}
{{- $repository := required "image.repository is required, because no image is published yet: build one from the Dockerfile at the root of the repository, push it to a registry that the cluster reaches, and install with --set image.repository=REGISTRY/lifeguard" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* What selects the operator's pods; it can never change for a Deployment that exists. */}}
{{- define "lifeguard.selectorLabels" -}}
app.kubernetes.io/name: {{ include "lifeguard.application" . }}
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

{{/* The part of an admission policy that makes it concern requests of the operator's ServiceAccount only. */}}
{{- define "lifeguard.ofOperator" -}}
failurePolicy: Fail
matchConditions:
- name: of-the-operator
  expression: request.userInfo.username == 'system:serviceaccount:{{ .Release.Namespace }}:{{ include "lifeguard.name" . }}'
{{- end -}}
