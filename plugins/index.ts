/** Every plugin: one import and one line each. */
import type { ProviderDefinition, SinkDefinition } from 'mirrorgate/plugin'
import aws from './aws-secrets-manager/provider.ts'
import azure from './azure-key-vault/provider.ts'
import azureBlob from './azure-blob/sink.ts'
import azureMonitor from './azure-monitor/sink.ts'
import blackhole from './blackhole/sink.ts'
import conjur from './conjur/provider.ts'
import datadog from './datadog/sink.ts'
import elasticsearch from './elasticsearch/sink.ts'
import env from './env/provider.ts'
import mountedFile from './file/provider.ts'
import file from './file/sink.ts'
import gcp from './gcp-secret-manager/provider.ts'
import gcs from './gcs/sink.ts'
import http from './http/sink.ts'
import otlp from './otlp/sink.ts'
import s3 from './s3/sink.ts'
import salt from './salt/sink.ts'
import splunk from './splunk/sink.ts'
import sumo from './sumo/sink.ts'
import syslog from './syslog/sink.ts'
import vault from './vault/provider.ts'
import webhook from './webhook/sink.ts'

export const sinks: readonly SinkDefinition[] = [
  azureBlob,
  azureMonitor,
  blackhole,
  datadog,
  elasticsearch,
  file,
  gcs,
  http,
  otlp,
  s3,
  salt,
  splunk,
  sumo,
  syslog,
  webhook,
]

export const providers: readonly ProviderDefinition[] = [env, mountedFile, vault, aws, azure, gcp, conjur]
