// The TypeScript SDK v2, which knows every era.
import { Client, SSEClientTransport, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { drive } from './driver.mjs';

const transports = {
  http: ({ url }) => new StreamableHTTPClientTransport(new URL(url)),
  sse: ({ url }) => new SSEClientTransport(new URL(url)),
  stdio: ({ command, args, env }) => new StdioClientTransport({ command, args, env: { ...process.env, ...env } }),
};

await drive(async (spec, onListChanged) => {
  const mode = ['legacy', 'auto'].includes(spec.era) ? spec.era : { pin: spec.era };
  const listChanged = { tools: { autoRefresh: false, onChanged: onListChanged } };
  const client = new Client({ name: 'ts-v2', version: '1.0.0' }, { versionNegotiation: { mode }, listChanged });
  await client.connect(transports[spec.transport](spec));
  return {
    client,
    version: client.getNegotiatedProtocolVersion(),
    listTools: () => client.listTools(undefined, { cacheMode: 'bypass' }),
    callTool: (params, options) => client.callTool(params, options),
  };
});
