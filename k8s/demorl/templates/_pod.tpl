{{/* The pod of a component. */}}
{{- define "demorl.podTemplate" -}}
{{- $root := index . 0 -}}
{{- $key := index . 1 -}}
{{- $component := index (include "demorl.components" $root | fromJson) $key -}}
{{- $values := index $root.Values $key -}}
{{- /* An evaluator does nothing that is traced. */ -}}
{{- $traces := and $root.Values.tracing.enabled (ne $key "evaluator") -}}
metadata:
  labels:
    {{- include "demorl.componentSelectorLabels" . | fromYaml | merge (dict) $values.podLabels $root.Values.commonLabels | toYaml | nindent 4 }}
  annotations:
    # New pods for a new configuration: services read it when they start.
    checksum/config: {{ include "demorl.configFiles" $root | sha256sum }}
    {{- with merge (dict) $values.podAnnotations $root.Values.commonAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "demorl.serviceAccountName" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
  securityContext:
    {{- toYaml $root.Values.podSecurityContext | nindent 4 }}
  {{- with $root.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $values.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- include "demorl.nodes" (list $root $values) | nindent 2 }}
  affinity:
    {{- if $values.affinity }}
    {{- toYaml $values.affinity | nindent 4 }}
    {{- else }}
    podAntiAffinity:
      preferredDuringSchedulingIgnoredDuringExecution:
        - weight: 10
          podAffinityTerm:
            topologyKey: kubernetes.io/hostname
            labelSelector:
              matchLabels:
                {{- include "demorl.componentSelectorLabels" . | nindent 16 }}
    {{- end }}
  {{- with $values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range . }}
    - {{ toYaml (omit . "labelSelector") | nindent 6 | trim }}
      labelSelector:
        matchLabels:
          {{- include "demorl.componentSelectorLabels" (list $root $key) | nindent 10 }}
    {{- end }}
  {{- end }}
  containers:
    - name: {{ kebabcase $key }}
      image: {{ include "demorl.image" . | quote }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args:
        {{- if eq $key "evaluator" }}
        - follow
        - --stay
        - --config=/etc/demorl/run
        - --out=/data/run
        - --health-address=0.0.0.0:50052
        - --metrics-address=0.0.0.0:9464
        {{- else }}
        - --config=/etc/demorl/run
        {{- end }}
        {{- range $values.overrides }}
        - {{ printf "--override=%s" . | quote }}
        {{- end }}
      env:
        - name: HOME
          value: /tmp
        {{- with $values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        {{- if ne $key "evaluator" }}
        - {name: grpc, containerPort: 50051, protocol: TCP}
        {{- end }}
        - {name: health, containerPort: 50052, protocol: TCP}
        - {name: metrics, containerPort: 9464, protocol: TCP}
      startupProbe:
        grpc: {port: 50052, service: liveness}
        periodSeconds: 5
        timeoutSeconds: 3
        failureThreshold: {{ div (add $values.startupSeconds 4) 5 }}
      livenessProbe:
        grpc: {port: 50052, service: liveness}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        grpc: {port: 50052, service: readiness}
        periodSeconds: 5
        timeoutSeconds: 3
        failureThreshold: 2
      resources:
        {{- $resources := deepCopy $values.resources }}
        {{- if and $values.gpu $values.gpu.enabled }}
        {{- $_ := set $resources "limits" (merge (dict $values.gpu.resourceName (toString $values.gpu.count)) ($resources.limits | default dict)) }}
        {{- end }}
        {{- toYaml $resources | nindent 8 }}
      securityContext:
        {{- toYaml $root.Values.containerSecurityContext | nindent 8 }}
      volumeMounts:
        - {name: run, mountPath: /etc/demorl/run, readOnly: true}
        - {name: data, mountPath: /data}
        - {name: tmp, mountPath: /tmp}
        {{- if $traces }}
        - {name: traces, mountPath: /traces}
        {{- end }}
        {{- include "demorl.tlsMounts" $root | nindent 8 }}
        {{- with $values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: run
      configMap: {name: {{ include "demorl.fullname" $root }}-run}
    - name: tmp
      emptyDir: {sizeLimit: 256Mi}
    {{- if not $component.stateful }}
    - name: data
      emptyDir: {{ $values.spool | default dict | dig "sizeLimit" "64Mi" | dict "sizeLimit" | toJson }}
    {{- else if not $values.persistence.enabled }}
    - name: data
      emptyDir: {}
    {{- end }}
    {{- if $traces }}
    - name: traces
      {{- toYaml ($root.Values.tracing.volume | default (dict "emptyDir" (dict "sizeLimit" "64Mi"))) | nindent 6 }}
    {{- end }}
    {{- include "demorl.tlsVolumes" . | nindent 4 }}
    {{- with $values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* Whole folders, never a subPath: only then do renewed certificates appear in a running pod. */}}
{{- define "demorl.tlsMounts" -}}
{{- if ne .Values.tls.mode "disabled" }}
- {name: tls, mountPath: /etc/demorl/tls, readOnly: true}
{{- if .Values.tls.revocationSecret }}
- {name: revoked, mountPath: /etc/demorl/revoked, readOnly: true}
{{- end }}
{{- if .Values.tls.acceptedTokensSecret }}
- {name: tokens, mountPath: /etc/demorl/tokens, readOnly: true}
{{- end }}
{{- end }}
{{- end -}}

{{- define "demorl.tlsVolumes" -}}
{{- $tls := (index . 0).Values.tls -}}
{{- if ne $tls.mode "disabled" }}
- name: tls
  secret: {secretName: {{ include "demorl.tlsSecretName" . }}, defaultMode: 0440}
{{- with $tls.revocationSecret }}
- name: revoked
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- with $tls.acceptedTokensSecret }}
- name: tokens
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- end }}
{{- end -}}
