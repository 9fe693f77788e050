// Lets a test drive an MCP client: reads one JSON command a line on stdin and answers each with JSON lines on stdout.
// `connect(spec, onListChanged)` is what differs between the SDKs; see ts-v1.mjs and ts-v2.mjs.
import { createInterface } from 'node:readline';

export async function drive(connect) {
  const say = message => process.stdout.write(JSON.stringify(message) + '\n');
  const running = new Map();
  let session;

  const operations = {
    async connect(command) {
      session = await connect(command, () => say({ listChanged: true }));
      const { client, version } = session;
      return { version, serverInfo: client.getServerVersion(), capabilities: client.getServerCapabilities() };
    },
    list: () => session.listTools(),
    call({ id, tool, arguments: args, progress }, signal) {
      const onprogress = progress ? update => say({ id, progress: update }) : undefined;
      return session.callTool({ name: tool, arguments: args }, { signal, onprogress, timeout: 120_000 });
    },
  };

  async function answer(command) {
    const controller = new AbortController();
    running.set(command.id, controller);
    try {
      say({ id: command.id, result: await operations[command.op](command, controller.signal) });
    } catch (error) {
      say({ id: command.id, error: { code: error.code ?? error.name, message: error.message } });
    } finally {
      running.delete(command.id);
    }
  }

  for await (const line of createInterface({ input: process.stdin })) {
    const command = JSON.parse(line);
    if (command.op === 'cancel') running.get(command.target)?.abort();
    else void answer(command);
  }
  await session?.client.close();
  process.exit(0);
}
