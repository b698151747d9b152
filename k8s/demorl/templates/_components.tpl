{{/*
What each component is, as JSON. `calls`: the components that it dials; the network policies follow from it.
`stateful`: one replica with a volume. A component's key names its values; its service, role and labels are the key in
snake_case.
*/}}
{{- define "demorl.components" -}}
{{- $algorithm := include "demorl.algorithm" . | fromJson -}}
{{- $robot := not (and (empty .Values.gateways.leg) (empty .Values.gateways.stochlite)) -}}
{{- $enabled := dict
  "replay" true
  "snapshot" true
  "modelTrainer" (include "demorl.orElse" (list .Values.modelTrainer.enabled $algorithm.modelTrainer) | eq "true")
  "mpcRollout" (include "demorl.orElse" (list .Values.mpcRollout.enabled $algorithm.mpcRollout) | eq "true")
  "sacLearner" (include "demorl.orElse" (list .Values.sacLearner.enabled $algorithm.sacLearner) | eq "true")
  "actor" (include "demorl.orElse" (list .Values.actor.enabled (not $robot)) | eq "true")
  "evaluator" .Values.evaluator.enabled
-}}
{{- $calls := dict
  "replay" list
  "snapshot" list
  "modelTrainer" (list "replay" "snapshot")
  "mpcRollout" (list "replay" "snapshot")
  "sacLearner" (list "replay" "snapshot")
  "actor" (list "replay" "snapshot" "mpcRollout")
  "evaluator" (list "replay" "snapshot" "modelTrainer" "mpcRollout" "sacLearner" "actor")
-}}
{{- $components := dict -}}
{{- range $key, $is := $enabled -}}
{{- if $is -}}
{{- $present := list -}}
{{- range index $calls $key -}}
{{- if index $enabled . -}}{{- $present = append $present . -}}{{- end -}}
{{- end -}}
{{- $_ := set $components $key (dict "calls" $present "stateful" (not (has $key (list "actor" "mpcRollout")))) -}}
{{- end -}}
{{- end -}}
{{- toJson $components -}}
{{- end -}}

{{- define "demorl.orElse" -}}
{{- kindIs "invalid" (index . 0) | ternary (index . 1) (index . 0) -}}
{{- end -}}

{{/* The services that an algorithm's preset asks for; tests/kubernetes compares them with the presets. */}}
{{- define "demorl.algorithm" -}}
{{- $learns := dict "modelTrainer" true "mpcRollout" true "sacLearner" true -}}
{{- $services := dict
  "sac" (dict "modelTrainer" false "mpcRollout" false "sacLearner" true)
  "dmd_mpc" (dict "modelTrainer" false "mpcRollout" true "sacLearner" false)
  "topdm" (dict "modelTrainer" false "mpcRollout" true "sacLearner" false)
  "polo" (dict "modelTrainer" false "mpcRollout" true "sacLearner" true)
  "pddm" (dict "modelTrainer" true "mpcRollout" true "sacLearner" false)
  "pets" (dict "modelTrainer" true "mpcRollout" true "sacLearner" false)
-}}
{{- get $services .Values.run.algorithm | default $learns | toJson -}}
{{- end -}}

{{/* Whether an autoscaler owns the replicas of a component. */}}
{{- define "demorl.autoscaled" -}}
{{- $values := index (index . 0).Values (index . 1) -}}
{{- if $values.autoscaling -}}{{- if ne $values.autoscaling.kind "none" -}}true{{- end -}}{{- end -}}
{{- end -}}
