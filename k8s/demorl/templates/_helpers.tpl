{{/* Names and labels. Helpers that take a component take a list: the root context and the component's key in the values. */}}

{{- define "demorl.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Leaves room for "-model-trainer-headless" and the number of a StatefulSet's pod. */}}
{{- define "demorl.fullname" -}}
{{- $name := include "demorl.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "demorl.componentName" -}}
{{- printf "%s-%s" (include "demorl.fullname" (index . 0)) (kebabcase (index . 1)) -}}
{{- end -}}

{{- define "demorl.selectorLabels" -}}
app.kubernetes.io/name: {{ include "demorl.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "demorl.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "demorl.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: demorl
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The component's label is the service's name in the configuration: what Prometheus shows as job. */}}
{{- define "demorl.componentSelectorLabels" -}}
{{ include "demorl.selectorLabels" (index . 0) }}
app.kubernetes.io/component: {{ snakecase (index . 1) }}
{{- end -}}

{{- define "demorl.componentLabels" -}}
{{ include "demorl.labels" (index . 0) }}
app.kubernetes.io/component: {{ snakecase (index . 1) }}
{{- end -}}

{{/* The metadata of an object of the whole release, or, with a list, of a component. */}}
{{- define "demorl.metadata" -}}
{{- $root := index . 0 -}}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- if index . 1 }}
  {{- include "demorl.componentLabels" . | nindent 2 }}
  {{- else }}
  {{- include "demorl.labels" $root | nindent 2 }}
  {{- end }}
{{- with $root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "demorl.serviceAccountName" -}}
{{- if (index . 0).Values.serviceAccount.create -}}
{{- include "demorl.componentName" . -}}
{{- else -}}
default
{{- end -}}
{{- end -}}

{{- define "demorl.image" -}}
{{- $root := index . 0 -}}
{{- $values := index $root.Values (index . 1) -}}
{{- $image := $values.image | default dict -}}
{{- $name := eq (index . 1) "evaluator" | ternary "cli" (kebabcase (index . 1)) -}}
{{- $repository := $image.repository | default (printf "%s/%s" $root.Values.image.repository $name) -}}
{{- if $root.Values.image.registry -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" $root.Values.image.registry) $repository -}}
{{- end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- $cuda := and $values.gpu (dig "gpu" "enabled" false $values) (empty $image.tag) -}}
{{- $suffix := empty $cuda | ternary "" $root.Values.image.cudaSuffix -}}
{{- printf "%s:%s%s" $repository ($image.tag | default $root.Values.image.tag | default $root.Chart.AppVersion) $suffix -}}
{{- end -}}
{{- end -}}

{{/* How other pods dial a component. */}}
{{- define "demorl.host" -}}
{{- printf "%s.%s.svc.%s" (include "demorl.componentName" .) (index . 0).Release.Namespace (index . 0).Values.clusterDomain -}}
{{- end -}}

{{- define "demorl.runId" -}}
{{- .Values.run.id | default (printf "%s-%s" .Release.Namespace .Release.Name) -}}
{{- end -}}

{{- define "demorl.tlsSecretName" -}}
{{- $root := index . 0 -}}
{{- if eq $root.Values.tls.mode "existingSecrets" -}}
{{- index $root.Values.tls.existingSecrets (index . 1) -}}
{{- else -}}
{{- printf "%s-tls" (include "demorl.componentName" .) -}}
{{- end -}}
{{- end -}}
