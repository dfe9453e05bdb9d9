{{- /* Names, labels and the parts that several manifests share. Ports and paths are those of the
code: `make deploy-check` compares them. */ -}}

{{- define "lockstep.ports" -}}
auth: {rpc: 50051, management: 9051}
profile: {rpc: 50052, management: 9052}
commerce: {rpc: 50053, management: 9053}
gateway: {http: 8080, management: 9080}
relay: {management: 9055}
{{- end }}

{{- /* The Deployments. The relay is one where events go to NATS. */ -}}
{{- define "lockstep.processes" -}}
{{- $all := deepCopy .Values.processes }}
{{- if .Values.relay.enabled }}
{{- $_ := set $all "relay" .Values.relay }}
{{- end }}
{{- toYaml $all }}
{{- end }}

{{- /* Whom each process calls. */ -}}
{{- define "lockstep.calls" -}}
auth: [profile, commerce]
profile: [auth]
commerce: [auth, profile]
gateway: [auth, profile, commerce]
relay: [auth, profile, commerce]
operator: [auth, profile, commerce]
{{- end }}

{{- /* The databases that each process uses. */ -}}
{{- define "lockstep.databases" -}}
auth: [auth]
profile: [profile]
commerce: [commerce]
migrate: [auth, profile, commerce]
reconcile: [auth, profile, commerce]
operator: [auth]
{{- end }}

{{- define "lockstep.image" -}}
{{- with .Values.image -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ with .digest }}@{{ . }}{{ end }}
{{- end -}}
{{- end }}

{{- define "lockstep.selector" -}}
app.kubernetes.io/name: lockstep
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{- define "lockstep.labels" -}}
{{ include "lockstep.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: lockstep
{{- end }}

{{- /* The cluster that holds the database of a service. */ -}}
{{- define "lockstep.cluster" -}}
{{ .root.Release.Name }}{{ if eq .root.Values.databases.clusters "separate" }}-{{ .name }}{{ end }}-db
{{- end }}

{{- /* The clusters of some services, each with those whose databases it holds. */ -}}
{{- define "lockstep.clusters" -}}
{{- $clusters := dict }}
{{- range .services }}
{{- $cluster := include "lockstep.cluster" (dict "root" $.root "name" .) }}
{{- $_ := set $clusters $cluster (append (index $clusters $cluster | default list) .) }}
{{- end }}
{{- toYaml $clusters }}
{{- end }}

{{- define "lockstep.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "lockstep.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* What every pod begins with. A Service `auth` must not become AUTH_PORT in the environment. */ -}}
{{- define "lockstep.podStart" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
securityContext:
  {{- include "lockstep.podSecurity" . | nindent 2 }}
{{- end }}

{{- define "lockstep.containerStart" -}}
image: {{ include "lockstep.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
{{- end }}

{{- define "lockstep.containerEnd" -}}
securityContext:
  {{- include "lockstep.containerSecurity" . | nindent 2 }}
resources:
  {{- toYaml .resources | nindent 2 }}
{{- end }}

{{- /* Settings by name: those of a process win over those of all, and win over the chart's own. */ -}}
{{- define "lockstep.settings" -}}
{{- $process := index (include "lockstep.processes" .root | fromYaml) .name | default dict -}}
{{- $all := mergeOverwrite (dict) .own .root.Values.settings ($process.settings | default dict) -}}
{{- range $name, $value := $all }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{- /* Where the process finds the others. A headless Service tells the address of each replica. */ -}}
{{- define "lockstep.ownSettings" -}}
{{- $ports := include "lockstep.ports" . | fromYaml -}}
{{- range index (include "lockstep.calls" . | fromYaml) .name }}
LOCKSTEP_{{ upper . }}_ADDRESS: dns:///{{ $.root.Release.Name }}-{{ . }}:{{ (index $ports .).rpc }}
{{- end }}
{{- if and (index (include "lockstep.calls" . | fromYaml) .name) (ne .root.Values.tls.mode "off") }}
LOCKSTEP_TLS: {{ .root.Values.tls.mode }}
LOCKSTEP_TLS_CERT: /run/secrets/tls/tls.crt
LOCKSTEP_TLS_KEY: /run/secrets/tls/tls.key
LOCKSTEP_TLS_CA: /run/secrets/tls/ca.crt
{{- end }}
{{- if and (eq .name "gateway") .root.Values.gateway.tlsSecret }}
LOCKSTEP_GATEWAY_TLS_CERT: /run/secrets/edge/tls.crt
LOCKSTEP_GATEWAY_TLS_KEY: /run/secrets/edge/tls.key
{{- end }}
{{- if eq .name "auth" }}
LOCKSTEP_SMTP_URL_FILE: /run/secrets/smtp/url
{{- end }}
{{- if eq .name "relay" }}
LOCKSTEP_NATS_URL_FILE: /run/secrets/nats/url
{{- if .root.Values.nats.credentials }}
LOCKSTEP_NATS_CREDENTIALS: /run/secrets/nats/relay.creds
{{- end }}
{{- if .root.Values.nats.ca }}
LOCKSTEP_NATS_CA: /run/secrets/nats/ca.crt
{{- end }}
{{- end }}
{{- with .root.Values.telemetry.endpoint }}
OTEL_EXPORTER_OTLP_ENDPOINT: {{ . }}
{{- end }}
{{- include "lockstep.databaseSettings" . }}
{{- end }}

{{- define "lockstep.databaseSettings" -}}
{{- $used := index (include "lockstep.databases" . | fromYaml) .name }}
{{- range $used }}
LOCKSTEP_{{ upper . }}_DATABASE_URL_FILE: /run/secrets/{{ . }}-database/url
{{- if eq $.name "migrate" }}
LOCKSTEP_{{ upper . }}_MIGRATE_DATABASE_URL_FILE: /run/secrets/{{ . }}-owner-database/url
{{- end }}
{{- end }}
{{- if and (eq .name "commerce") .root.Values.databases.readStandbys }}
LOCKSTEP_COMMERCE_READ_DATABASE_URL_FILE: /run/secrets/commerce-database/read-url
{{- end }}
{{- if and $used .root.Values.databases.pooler.enabled }}
LOCKSTEP_DATABASE_POOLER: "on"
{{- end }}
{{- end }}

{{- /* The folders of Secrets that hold no keys. */ -}}
{{- define "lockstep.secrets" -}}
{{- $release := .root.Release.Name -}}
{{- range index (include "lockstep.databases" . | fromYaml) .name }}
{{- $reads := and (eq $.name "commerce") $.root.Values.databases.readStandbys }}
- {folder: {{ . }}-database, secret: {{ $release }}-{{ . }}-database, keys: {{ ternary "[url, read-url]" "[url]" $reads }}}
{{- if eq $.name "migrate" }}
- {folder: {{ . }}-owner-database, secret: {{ $release }}-{{ . }}-owner-database, keys: [url]}
{{- end }}
{{- if $.root.Values.databases.create }}
- {folder: {{ . }}-database-ca, secret: {{ include "lockstep.cluster" (dict "root" $.root "name" .) }}-ca, keys: [ca.crt]}
{{- end }}
{{- end }}
{{- if and (index (include "lockstep.calls" . | fromYaml) .name) (ne .root.Values.tls.mode "off") }}
- {folder: tls, secret: {{ $release }}-{{ .name }}-tls, keys: [tls.crt, tls.key, ca.crt]}
{{- end }}
{{- if and (eq .name "gateway") .root.Values.gateway.tlsSecret }}
- {folder: edge, secret: {{ .root.Values.gateway.tlsSecret }}, keys: [tls.crt, tls.key]}
{{- end }}
{{- if eq .name "auth" }}
- {folder: smtp, secret: {{ $release }}-smtp, keys: [url]}
{{- end }}
{{- if eq .name "relay" }}
{{- $keys := concat (list "url") (ternary (list "relay.creds") list .root.Values.nats.credentials) (ternary (list "ca.crt") list .root.Values.nats.ca) }}
- {folder: nats, secret: {{ $release }}-nats, keys: {{ $keys | toJson }}}
{{- end }}
{{- end }}

{{- /* A process gets trusted.json and its own keys, and no more. */ -}}
{{- define "lockstep.mounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if index (include "lockstep.calls" . | fromYaml) .name }}
- {name: keys, mountPath: /data/keys, readOnly: true}
- {name: keys-{{ .name }}, mountPath: /data/keys/{{ .name }}, readOnly: true}
{{- if eq .name "auth" }}
- {name: keys-tokens, mountPath: /data/keys/auth/tokens, readOnly: true}
{{- end }}
{{- end }}
{{- range include "lockstep.secrets" . | fromYamlArray }}
- {name: {{ .folder }}, mountPath: /run/secrets/{{ .folder }}, readOnly: true}
{{- end }}
{{- end }}

{{- define "lockstep.volumes" -}}
{{- $release := .root.Release.Name -}}
- {name: tmp, emptyDir: {sizeLimit: 64Mi}}
{{- if index (include "lockstep.calls" . | fromYaml) .name }}
- {name: keys, secret: {secretName: {{ $release }}-trusted, defaultMode: 0440}}
- {name: keys-{{ .name }}, secret: {secretName: {{ $release }}-{{ .name }}-keys, defaultMode: 0440}}
{{- if eq .name "auth" }}
- {name: keys-tokens, secret: {secretName: {{ $release }}-auth-tokens, defaultMode: 0440}}
{{- end }}
{{- end }}
{{- range include "lockstep.secrets" . | fromYamlArray }}
- name: {{ .folder }}
  secret:
    secretName: {{ .secret }}
    defaultMode: 0440
    items:
    {{- range .keys }}
      - {key: {{ . }}, path: {{ . }}}
    {{- end }}
{{- end }}
{{- end }}
