{{- define "gateway.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{/* What all objects of a release have in common, and the NetworkPolicy selects pods by. */}}
{{- define "gateway.release" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* The pods that serve: not the one that checks. */}}
{{- define "gateway.selector" -}}
{{ include "gateway.release" . }}
app.kubernetes.io/component: gateway
{{- end -}}

{{- define "gateway.labels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "gateway.image" -}}
{{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end -}}

{{/* The port of a `bind`, HOST:PORT or [V6]:PORT. */}}
{{- define "gateway.port" -}}
{{ regexFind "[0-9]+$" . }}
{{- end -}}

{{/* Probes and Prometheus come from outside the pod. */}}
{{- define "gateway.adminPort" -}}
{{- $bind := .Values.config.admin.bind -}}
{{- if regexMatch "^(127\\.|localhost:|\\[::1\\]:)" $bind -}}
{{- fail (printf "config.admin.bind: %s: probes come from outside the pod; write 0.0.0.0:PORT" $bind) -}}
{{- end -}}
{{ include "gateway.port" $bind }}
{{- end -}}

{{/* The name of a Secret with a certificate: the one given, or the one that cert-manager is asked for. */}}
{{- define "gateway.secret" -}}
{{- $tls := get .root.Values.tls .role -}}
{{- if $tls.secret -}}
{{ $tls.secret }}
{{- else if and $tls.issuer.name (or $tls.dnsNames $tls.uris) -}}
{{ include "gateway.fullname" .root }}-{{ .role }}
{{- else -}}
{{- fail (printf "tls.%s: name a secret, or dnsNames and issuer.name for cert-manager, or write null for none" .role) -}}
{{- end -}}
{{- end -}}

{{/* The container's rights: none. */}}
{{- define "gateway.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "gateway.unprivileged" -}}
runAsNonRoot: true
runAsUser: 10001   # the image's own
runAsGroup: 10001
fsGroup: 10001     # reads the keys
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/*
One volume, flat, with gateway.yaml and all that it names. kubelet swaps it by a link, ..data, beside the files, and the
gateway watches the folder where files are: of a file in a folder below, or mounted by subPath, it would not hear.
*/}}
{{- define "gateway.volume" -}}
name: conf
projected:
  defaultMode: 0440
  sources:
    - configMap: {name: {{ include "gateway.fullname" . }}}
    {{- if .Values.tls.server }}
    - secret:
        name: {{ include "gateway.secret" (dict "root" . "role" "server") }}
        items:
          - {key: tls.crt, path: server.crt}
          - {key: tls.key, path: server.key}
    {{- end }}
    {{- if .Values.tls.client }}
    - secret:
        name: {{ include "gateway.secret" (dict "root" . "role" "client") }}
        items:
          - {key: tls.crt, path: client.crt}
          - {key: tls.key, path: client.key}
          - {key: ca.crt, path: ca.crt}
    {{- end }}
    {{- with .Values.files }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
