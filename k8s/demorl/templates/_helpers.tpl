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
{{- end -}}

{{/* The component's label is the service's name in the configuration: what Prometheus shows as job. */}}
{{- define "demorl.componentSelectorLabels" -}}
{{ include "demorl.selectorLabels" (index . 0) }}
app.kubernetes.io/component: {{ snakecase (index . 1) }}
{{- end -}}

{{/*
The metadata of an object but its name: of a component, or, where its key is "", of the whole release. A third item of the
list may have `labels`, `annotations` and `namespace` of this object's own, which come before the common ones.
*/}}
{{- define "demorl.metadata" -}}
{{- $root := index . 0 -}}
{{- $own := dict -}}
{{- if gt (len .) 2 -}}{{- $own = index . 2 -}}{{- end -}}
{{- $labels := include "demorl.labels" $root | fromYaml -}}
{{- with index . 1 -}}{{- $_ := set $labels "app.kubernetes.io/component" (snakecase .) -}}{{- end -}}
namespace: {{ $own.namespace | default $root.Release.Namespace }}
labels:
  {{- merge (dict) ($own.labels | default dict) $root.Values.commonLabels $labels | toYaml | nindent 2 }}
{{- with merge (dict) ($own.annotations | default dict) $root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "demorl.serviceAccountName" -}}
{{- if (index . 0).Values.serviceAccount.create -}}
{{- include "demorl.componentName" . -}}
{{- else -}}
{{- (index . 0).Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/* Where a pod may run: what all pods say, and what the given values do. */}}
{{- define "demorl.nodes" -}}
{{- $values := index . 1 -}}
{{- with merge (dict) $values.nodeSelector ((index . 0).Values.nodeSelector | default dict) }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $tolerations := concat ((index . 0).Values.tolerations | default list) $values.tolerations }}
{{- if and $values.gpu (dig "gpu" "enabled" false $values) }}
{{- $tolerations = append $tolerations (dict "key" $values.gpu.resourceName "operator" "Exists" "effect" "NoSchedule") }}
{{- end }}
{{- with $tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
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
