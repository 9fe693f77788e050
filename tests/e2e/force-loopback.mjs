// Preloaded with `node --import`: some servers listen on every interface, which a test must not; with this they listen on
// loopback only, and say on stderr at which port.
import { Server } from 'node:net';

const { listen } = Server.prototype;

Server.prototype.listen = function (port, ...rest) {
  const callback = rest.findLast(argument => typeof argument === 'function');
  this.once('listening', () => console.error(`listening on 127.0.0.1:${this.address().port}`));
  return listen.call(this, { port: Number(port), host: '127.0.0.1' }, callback);
};
