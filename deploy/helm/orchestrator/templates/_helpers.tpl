{{- define "orchestrator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{/* Room is left for "-env-runner" and the pod's ordinal in 63 characters. */}}
{{- define "orchestrator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "orchestrator.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Takes {root, component}. */}}
{{- define "orchestrator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "orchestrator.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Of pods: without versions, so that a new chart alone restarts nothing. */}}
{{- define "orchestrator.podLabels" -}}
{{ include "orchestrator.selectorLabels" . }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "orchestrator.labels" -}}
{{ include "orchestrator.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: dspy-orchestrator
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "orchestrator.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "orchestrator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "orchestrator.fullname" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end -}}

{{- define "orchestrator.tlsSecretName" -}}
{{ .Values.tls.secretName | default (printf "%s-tls" (include "orchestrator.fullname" .)) }}
{{- end -}}

{{- define "orchestrator.hasTokens" -}}
{{- if or .Values.auth.existingSecret .Values.auth.tokens }}true{{ end -}}
{{- end -}}

{{- define "orchestrator.tokensSecretName" -}}
{{ .Values.auth.existingSecret | default (printf "%s-tokens" (include "orchestrator.fullname" .)) }}
{{- end -}}

{{- define "orchestrator.queueClaimName" -}}
{{ .Values.queue.persistence.existingClaim | default (printf "%s-queue" (include "orchestrator.fullname" .)) }}
{{- end -}}

{{/* What the schema can't say. Included by every workload, so that nothing is installed by halves. */}}
{{- define "orchestrator.validate" -}}
{{- $callers := or (include "orchestrator.hasTokens" .) .Values.tls.requireClientCertificate -}}
{{- if and (not .Values.insecure) (not (and .Values.tls.enabled $callers)) -}}
{{- fail "whoever reaches the Service could run commands in the cluster: set tls.enabled with tls.secretName or tls.certManager, and auth.existingSecret, auth.tokens or tls.requireClientCertificate; or insecure=true if everybody in reach may" -}}
{{- end -}}
{{- if and .Values.tls.enabled (not .Values.tls.secretName) (not .Values.tls.certManager.enabled) -}}
{{- fail "tls.enabled needs a certificate: set tls.secretName, or tls.certManager.enabled with tls.certManager.issuerRef" -}}
{{- end -}}
{{- if and .Values.tls.certManager.enabled (not .Values.tls.certManager.issuerRef.name) -}}
{{- fail "tls.certManager.issuerRef.name is missing: name the Issuer or ClusterIssuer that signs the certificate" -}}
{{- end -}}
{{- if and .Values.tls.requireClientCertificate (not .Values.tls.enabled) -}}
{{- fail "tls.requireClientCertificate needs tls.enabled" -}}
{{- end -}}
{{- if and .Values.auth.existingSecret .Values.auth.tokens -}}
{{- fail "auth.existingSecret and auth.tokens are both set: keep one" -}}
{{- end -}}
{{- if and .Values.envRunner.enabled (not .Values.queue.persistence.enabled) -}}
{{- fail "envRunner.enabled needs queue.persistence.enabled: runners and server share the queue's volume, which must allow ReadWriteMany unless all of them are on one node" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (not .Values.envRunner.enabled) -}}
{{- fail "autoscaling.enabled scales the env-runners: set envRunner.enabled (the server itself has one writer)" -}}
{{- end -}}
{{- if gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas) -}}
{{- fail (printf "autoscaling.minReplicas %v is more than autoscaling.maxReplicas %v" .Values.autoscaling.minReplicas .Values.autoscaling.maxReplicas) -}}
{{- end -}}
{{- range $kind, $ingress := .Values.ingress -}}
{{- if and $ingress.enabled (not $ingress.host) -}}
{{- fail (printf "ingress.%s.enabled needs ingress.%s.host" $kind $kind) -}}
{{- end -}}
{{- end -}}
{{- if .Values.slurm.enabled -}}
{{- if not (or .Values.slurm.config.configMap .Values.slurm.config.hostPath) -}}
{{- fail "slurm.enabled needs slurm.conf: set slurm.config.configMap or slurm.config.hostPath" -}}
{{- end -}}
{{- if not (or .Values.slurm.munge.hostPath .Values.slurm.munge.keySecret) -}}
{{- fail "slurm.enabled needs munge: set slurm.munge.hostPath (the node's munged) or slurm.munge.keySecret (one beside the server)" -}}
{{- end -}}
{{- if and .Values.slurm.jobs.path (not (or .Values.slurm.jobs.existingClaim .Values.slurm.jobs.hostPath)) -}}
{{- fail "slurm.jobs.path needs a volume: set slurm.jobs.existingClaim or slurm.jobs.hostPath" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* HTTPS probes don't check the certificate, and kubelet's gRPC probes don't speak TLS: so gRPC only without it. */}}
{{- define "orchestrator.readinessAction" -}}
{{- if .Values.tls.enabled -}}
httpGet: {path: /readyz, port: http, scheme: HTTPS}
{{- else -}}
grpc: {port: {{ .Values.service.grpcPort }}, service: dspy_orchestrator.v1.Orchestrator}
{{- end -}}
{{- end -}}

{{/*
Takes {environment, names, rest}: what the program is told, the variables whose seconds add up, and what comes after them.
From the environment, as settings may say otherwise than the values.
*/}}
{{- define "orchestrator.terminationGrace" -}}
{{- $seconds := float64 .rest -}}
{{- range .names -}}
{{- $seconds = addf $seconds (get $.environment .) -}}
{{- end -}}
{{- ceil $seconds | int -}}
{{- end -}}

{{- define "orchestrator.claimSpec" -}}
accessModes: {{ toYaml .accessModes | nindent 2 }}
{{- with .storageClassName }}
storageClassName: {{ . }}
{{- end }}
resources:
  requests:
    storage: {{ .size }}
{{- end -}}
