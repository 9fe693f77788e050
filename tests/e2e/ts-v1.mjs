// The TypeScript SDK v1, which knows the eras up to 2025-11-25.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { drive } from './driver.mjs';

const transports = {
  http: ({ url }) => new StreamableHTTPClientTransport(new URL(url)),
  sse: ({ url }) => new SSEClientTransport(new URL(url)),
  stdio: ({ command, args, env }) => new StdioClientTransport({ command, args, env: { ...process.env, ...env } }),
};

await drive(async (spec, onListChanged) => {
  const listChanged = { tools: { autoRefresh: false, onChanged: onListChanged } };
  const client = new Client({ name: 'ts-v1', version: '1.0.0' }, { listChanged });
  const transport = transports[spec.transport](spec);
  const session = { client, listTools: () => client.listTools() };
  session.callTool = (params, options) => client.callTool(params, undefined, options);
  // The client tells its negotiated version to nobody but its transport.
  const told = transport.setProtocolVersion?.bind(transport);
  transport.setProtocolVersion = version => {
    session.version = version;
    told?.(version);
  };
  await client.connect(transport);
  return session;
});
