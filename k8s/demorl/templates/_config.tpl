{{/*
The run's configuration: a folder of text protos that the services merge in the order of their names. Presets first, then
what the values say, the user's own text, and last the addresses. Each block of text says how far it is indented, since its own first line may be, too.
*/}}
{{- define "demorl.configFiles" -}}
{{- $environment := regexReplaceAll "-v[0-9]+$" .Values.run.environment "" -}}
{{- $algorithm := .Values.run.algorithm -}}
10-algorithm.textproto: |2
  {{- .Files.Get (printf "files/presets/algorithms/%s.textproto" $algorithm) | nindent 2 }}
{{- with .Files.Get (printf "files/presets/tasks/%s.textproto" $environment) }}
20-task.textproto: |2
  {{- . | nindent 2 }}
{{- end }}
{{- with .Files.Get (printf "files/presets/tasks/%s.%s.textproto" $environment $algorithm) }}
30-task-algorithm.textproto: |2
  {{- . | nindent 2 }}
{{- end }}
{{- with .Values.run.preset }}
40-preset.textproto: |2
  {{- $.Files.Get (printf "files/presets/named/%s.textproto" .) | nindent 2 }}
{{- end }}
50-run.textproto: |2
  {{- include "demorl.runText" . | nindent 2 }}
{{- with .Values.run.config }}
60-own.textproto: |2
  {{- . | nindent 2 }}
{{- end }}
70-services.textproto: |2
  {{- include "demorl.servicesText" . | nindent 2 }}
{{- end -}}

{{- define "demorl.runText" -}}
run_id: {{ include "demorl.runId" . | quote }}
environment: {{ .Values.run.environment | quote }}
algorithm: {{ .Values.run.algorithm | quote }}
{{- with .Values.run.preset }}
preset: {{ . | quote }}
{{- end }}
seed: {{ .Values.run.seed | int64 }}
{{- with .Values.run.environmentSteps }}
environment_steps: {{ . | int64 }}
{{- end }}
device: {{ .Values.run.device | quote }}
{{- end -}}

{{- define "demorl.servicesText" -}}
{{- $root := . -}}
services {
{{- range $key, $component := include "demorl.components" . | fromJson }}
{{- if ne $key "evaluator" }}
{{- $values := index $root.Values $key }}
  {{ snakecase $key }} {
    address: {{ printf "dns:///%s:50051" (include "demorl.host" (list $root $key)) | quote }}
    listen_address: "0.0.0.0:50051"
    health_address: "0.0.0.0:50052"
    metrics_address: "0.0.0.0:9464"
    data_dir: "/data"
    drain_timeout_s: {{ $values.drainTimeoutSeconds }}
    {{- with $values.maxConnectionAgeSeconds }}
    max_connection_age_s: {{ . }}
    {{- end }}
    {{- with $values.limits }}
    limits {
      {{- range $name, $value := . }}
      {{ $name }}: {{ include "demorl.number" $value }}
      {{- end }}
    }
    {{- end }}
  }
{{- end }}
{{- end }}
{{- with .Values.gateways.leg }}
  leg_gateway { address: {{ . | quote }} }
{{- end }}
{{- with .Values.gateways.stochlite }}
  stochlite_gateway { address: {{ . | quote }} }
{{- end }}
}
{{- if (include "demorl.components" . | fromJson).actor }}
actor {
  writer_id: "${HOSTNAME}"
  {{- if .Values.actor.spool.enabled }}
  spool_dir: "/data/spool"
  {{- end }}
}
{{- end }}
{{- with .Values.tracing }}
{{- if .enabled }}
tracing {
  directory: "/traces"
  sample_ratio: {{ include "demorl.number" .sampleRatio }}
}
{{- end }}
{{- end }}
security {
{{- if eq .Values.tls.mode "disabled" }}
  allow_plain_text: true
{{- else }}
  tls_dir: "/etc/demorl/tls"
  trust_domain: {{ .Values.tls.trustDomain | quote }}
  {{- if .Values.tls.revocationSecret }}
  crl_dir: "/etc/demorl/revoked"
  {{- end }}
  {{- if .Values.tls.acceptedTokensSecret }}
  accepted_tokens_file: "/etc/demorl/tokens/tokens"
  {{- end }}
{{- end }}
}
{{- end -}}

{{/* Numbers of values come as float64, which would print 1e+06. */}}
{{- define "demorl.number" -}}
{{- if eq (float64 .) (float64 (int64 .)) -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- end -}}

{{/* A quantity of storage as a number, so that 1Gi is 1024Mi. */}}
{{- define "demorl.bytes" -}}
{{- $units := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "P" 1e15 "Pi" 1125899906842624 "E" 1e18 "Ei" 1152921504606846976 -}}
{{- mulf (regexFind "^[0-9.]+" (toString .) | float64) (index $units (regexReplaceAll "^[0-9.]+" (toString .) "")) | printf "%.0f" -}}
{{- end -}}
