// Clients of socket.io behind a tunnel: by polling, by WebSocket, and from one to the other.

const assert = require('node:assert/strict');
const { io } = require('socket.io-client');

const [address] = process.argv.slice(2);
const ok = (fact) => console.log(`ok      socket.io: ${fact}`);

// Waits for an event of an emitter of socket.io's own.
const next = (emitter, event) => new Promise((resolve) => emitter.once(event, resolve));

async function open(options) {
  const socket = io(`http://${address}`, { forceNew: true, ...options });
  socket.on('connect_error', (error) => { throw error; });
  await next(socket, 'connect');
  return socket;
}

async function echoes(socket, transport) {
  for (const value of ['text', { nested: [1, 2] }, Buffer.alloc(100_000, 'x')]) {
    const [echo, used] = await new Promise((resolve) => {
      socket.emit('echo', value, (...answer) => resolve(answer));
    });
    assert.deepEqual(echo, value);
    assert.equal(used, transport);
  }
}

async function main() {
  const polling = await open({ transports: ['polling'] });
  await echoes(polling, 'polling');
  assert.equal(polling.io.engine.transport.name, 'polling');
  ok('polling alone');

  const direct = await open({ transports: ['websocket'] });
  await echoes(direct, 'websocket');
  ok('WebSocket alone');

  // It starts to upgrade as soon as it is connected.
  const upgrading = io(`http://${address}`, { forceNew: true });
  upgrading.on('connect_error', (error) => { throw error; });
  await next(upgrading.io, 'open');
  assert.equal(upgrading.io.engine.transport.name, 'polling');
  const transport = await next(upgrading.io.engine, 'upgrade');
  assert.equal(transport.name, 'websocket');
  await echoes(upgrading, 'websocket');
  assert.equal(upgrading.io.engine.transport.name, 'websocket');
  ok('polling, and then an upgrade to WebSocket');

  const everyone = [polling, direct, upgrading];
  const heard = everyone.map((socket) => next(socket, 'all'));
  direct.emit('all', 'hello');
  assert.deepEqual(await Promise.all(heard), ['hello', 'hello', 'hello']);
  ok('a message from one reaches all');

  for (const socket of everyone) {
    socket.emit('leave');
    assert.equal(await next(socket, 'disconnect'), 'io server disconnect');
  }
  ok('the server disconnects each');
}

// Node would end well, too, when nothing is left to wait for.
process.exitCode = 1;
main().then(() => { process.exitCode = 0; }, (error) => {
  console.error('FAILED:', error);
  process.exit(1);
});
