{{/* Every helper takes a dict: root (the chart's context) and name (the service's). */}}

{{- define "rstar.fullname" -}}
{{ .root.Release.Name }}-{{ .name }}
{{- end }}

{{- define "rstar.selector" -}}
app.kubernetes.io/name: rstar-{{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{/* The selector as a label selector, in JSON, to stand on one line. */}}
{{- define "rstar.matching" -}}
{{ dict "matchLabels" (include "rstar.selector" . | fromYaml) | toJson }}
{{- end }}

{{- define "rstar.labels" -}}
{{ include "rstar.selector" . }}
app.kubernetes.io/part-of: rstar-math
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end }}

{{- define "rstar.image" -}}
{{- $digest := (index .root.Values .name).digest -}}
{{- $tag := .root.Values.images.tag -}}
{{- if $digest -}}
{{ .root.Values.images.repository }}-{{ .name }}@{{ $digest }}
{{- else if $tag -}}
{{ .root.Values.images.repository }}-{{ .name }}:{{ $tag }}
{{- else -}}
{{ fail (printf "%s.digest or images.tag must say which image to run" .name) }}
{{- end -}}
{{- end }}

{{/* Addresses of all pods a StatefulSet may have: a search keeps to one replica, by name. */}}
{{- define "rstar.addresses" -}}
{{- $own := index .root.Values .name -}}
{{- if $own.enabled -}}
{{- $count := ternary $own.scaling.max $own.replicas $own.scaling.enabled | int -}}
{{- $full := include "rstar.fullname" . -}}
{{- $addresses := list -}}
{{- range $i := until $count -}}
{{- $addresses = append $addresses (printf "%s-%d.%s:50051" $full $i $full) -}}
{{- end -}}
{{ join "," $addresses }}
{{- end -}}
{{- end }}

{{/* Addresses of the pods that a StatefulSet always has: others come and go with the load. */}}
{{- define "rstar.lasting" -}}
{{- $own := index .root.Values .name -}}
{{- if $own.enabled -}}
{{- $count := max 1 (ternary $own.scaling.min $own.replicas $own.scaling.enabled | int) -}}
{{- $full := include "rstar.fullname" . -}}
{{- $addresses := list -}}
{{- range $i := until (int $count) -}}
{{- $addresses = append $addresses (printf "%s-%d.%s:50051" $full $i $full) -}}
{{- end -}}
{{ join "," $addresses }}
{{- end -}}
{{- end }}

{{/* The name of a service, whichever pod answers. */}}
{{- define "rstar.name" -}}
{{- if (index .root.Values .name).enabled -}}
{{ include "rstar.fullname" . }}:50051
{{- end -}}
{{- end }}

{{- define "rstar.env" -}}
{{- $prefix := printf "RSTAR_%s_" (upper .name) -}}
{{- $values := .root.Values -}}
- {name: RSTAR_CONFIG, value: /etc/rstar/service.toml}
- {name: {{ $prefix }}GRPC__ADDRESS, value: "0.0.0.0:50051"}
- {name: {{ $prefix }}GRPC__PLAINTEXT, value: "true"}
- {name: {{ $prefix }}GRPC__DRAIN_SECONDS, value: {{ $values.drain.seconds | quote }}}
- {name: {{ $prefix }}TELEMETRY__METRICS_ADDRESS, value: "0.0.0.0:9464"}
{{- if ne .name "sandbox" }}
{{- with $values.traces.endpoint }}
- {name: {{ $prefix }}TELEMETRY__TRACES_ENDPOINT, value: {{ . | quote }}}
{{- end }}
- {name: {{ $prefix }}NATS__SERVERS, value: {{ $values.nats.servers | toJson | quote }}}
- {name: {{ $prefix }}NATS__REPLICAS, value: {{ $values.nats.replicas | quote }}}
- name: {{ $prefix }}NATS__USER
  valueFrom: {secretKeyRef: {name: {{ index $values.nats.secrets .name }}, key: username}}
- name: {{ $prefix }}NATS__PASSWORD
  valueFrom: {secretKeyRef: {name: {{ index $values.nats.secrets .name }}, key: password}}
- {name: {{ $prefix }}OBJECT_STORE__ENDPOINT, value: {{ $values.objectStore.endpoint | quote }}}
- {name: {{ $prefix }}OBJECT_STORE__BUCKET, value: {{ $values.objectStore.bucket | quote }}}
- {name: {{ $prefix }}OBJECT_STORE__REGION, value: {{ $values.objectStore.region | quote }}}
- name: {{ $prefix }}OBJECT_STORE__ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ index $values.objectStore.secrets .name }}, key: access-key}}
- name: {{ $prefix }}OBJECT_STORE__SECRET_KEY
  valueFrom: {secretKeyRef: {name: {{ index $values.objectStore.secrets .name }}, key: secret-key}}
{{- end }}
{{- end }}

{{/* Health follows the engine, so a start, or a restart of the engine, may take start.seconds. */}}
{{- define "rstar.probes" -}}
{{- $seconds := (index .root.Values .name).start.seconds | int -}}
startupProbe:
  grpc: {port: 50051}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: {{ div (add $seconds 4) 5 }}
readinessProbe:
  grpc: {port: 50051}
  periodSeconds: 5
  timeoutSeconds: 5
livenessProbe:
  grpc: {port: 50051}
  periodSeconds: 10
  timeoutSeconds: 10
  failureThreshold: {{ max 6 (div (add $seconds 9) 10) }}
{{- end }}

{{/* The pod of a service: what all have in common. Takes also env, mounts, volumes, init (YAML). */}}
{{- define "rstar.pod" -}}
{{- $own := index .root.Values .name -}}
{{- $drain := .root.Values.drain -}}
metadata:
  labels: {{- include "rstar.labels" . | nindent 4 }}
  annotations:
    checksum/config: {{ toToml $own.config | sha256sum }}
    prometheus.io/scrape: "true"
    prometheus.io/port: "9464"
spec:
  serviceAccountName: {{ include "rstar.fullname" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  # Signal, drain and components' farewell, with something to spare.
  terminationGracePeriodSeconds: {{ add $drain.preStopSeconds $drain.seconds 15 }}
  {{- with $own.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- if eq .name "sandbox" }}
  hostUsers: {{ $own.hostUsers }}
  {{- end }}
  {{- with .root.Values.images.pullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $own.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $own.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector: {{ include "rstar.matching" . }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    seccompProfile: {type: RuntimeDefault}
  {{- with .init }}
  initContainers: {{- . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ .name }}
      image: {{ include "rstar.image" . }}
      imagePullPolicy: {{ .root.Values.images.pullPolicy }}
      env: {{- include "rstar.env" . | nindent 8 }}
        {{- with .env }}
        {{- . | nindent 8 }}
        {{- end }}
      ports:
        - {name: grpc, containerPort: 50051}
        - {name: metrics, containerPort: 9464}
      {{- include "rstar.probes" . | nindent 6 }}
      lifecycle: {preStop: {sleep: {seconds: {{ $drain.preStopSeconds }}}}}
      resources: {{- toYaml $own.resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
        {{- if eq .name "sandbox" }}
        procMount: {{ $own.procMount }}
        seccompProfile:
          type: {{ $own.seccomp.type }}
          {{- with $own.seccomp.localhostProfile }}
          localhostProfile: {{ . }}
          {{- end }}
        {{- end }}
      volumeMounts:
        - {name: config, mountPath: /etc/rstar, readOnly: true}
        - {name: tmp, mountPath: /tmp}
        {{- with .mounts }}
        {{- . | nindent 8 }}
        {{- end }}
  volumes:
    - name: config
      configMap: {name: {{ include "rstar.fullname" . }}}
    - {name: tmp, emptyDir: {sizeLimit: 4Gi}}
    {{- with .volumes }}
    {{- . | nindent 4 }}
    {{- end }}
{{- end }}

{{/* A StatefulSet: its pods have names that searchers keep to. */}}
{{- define "rstar.statefulset" -}}
{{- $own := index .root.Values .name -}}
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ include "rstar.fullname" . }}
  labels: {{- include "rstar.labels" . | nindent 4 }}
spec:
  serviceName: {{ include "rstar.fullname" . }}
  podManagementPolicy: Parallel
  {{- if not (dig "scaling" "enabled" false $own) }}
  replicas: {{ $own.replicas }}
  {{- end }}
  selector: {{ include "rstar.matching" . }}
  template: {{- include "rstar.pod" . | nindent 4 }}
{{- end }}
