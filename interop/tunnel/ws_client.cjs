// What Node's `ws` sees of a WebSocket server behind a tunnel, and what the server sees of it.

const assert = require('node:assert/strict');
const http2 = require('node:http2');
const { once } = require('node:events');
const { Receiver, Sender, WebSocket } = require('ws');

const [address, serverName, upstream, tunnel] = process.argv.slice(2);
const patience = AbortSignal.timeout(50_000);
const ok = (fact) => console.log(`ok      ${serverName}: ${fact}`);

async function open(path, ...options) {
  const socket = new WebSocket(`ws://${address}${path}`, ...options);
  await once(socket, 'open', { signal: patience });
  return socket;
}

async function closed(socket) {
  const [code, reason] = await once(socket, 'close', { signal: patience });
  return [code, reason.toString()];
}

// The close codes of all WebSockets so far, once none is open.
async function ended(server = address) {
  for (;;) {
    const response = await fetch(`http://${server}/ended`, { signal: patience });
    const { open, codes } = await response.json();
    if (open === 0) return codes;
    await new Promise(setImmediate);
  }
}

async function negotiation() {
  const socket = await open('/ws', ['first', 'second'], { perMessageDeflate: { threshold: 0 } });
  assert.equal(socket.protocol, 'second');
  assert.match(socket.extensions, /^permessage-deflate/);
  const large = Buffer.alloc(1 << 20, 'large');
  socket.send(large);
  const [data] = await once(socket, 'message', { signal: patience });
  assert.deepEqual(data, large);
  assert.ok(socket._socket.bytesRead < 1 << 16, 'it came compressed');
  socket.close(1000);
  assert.deepEqual(await closed(socket), [1000, '']);
  ok('the subprotocol and compression are those of the server');
}

async function closes() {
  const before = await ended();
  const client = await open('/ws');
  client.close(4000, 'enough');
  assert.deepEqual(await closed(client), [4000, 'enough']);
    const bye = await open('/bye');
  assert.deepEqual(await closed(bye), [4001, 'bye']);
  assert.deepEqual((await ended()).slice(before.length), [4000, 4001]);
  ok('close codes of the client and of the server');
}

async function breaks() {
  const before = await ended();
  const vanishing = [await open('/ws'), await open('/ws')];
  vanishing[0].terminate();
  vanishing[1]._socket.resetAndDestroy();
  assert.deepEqual((await ended()).slice(before.length), [1006, 1006]);
  const socket = await open('/terminate');
  const reset = new Promise((resolve) => { socket._socket.once('error', resolve); });
  // The server answers with a reset. Node would take one that came with its 101 for EOF.
  socket.send('now');
  assert.equal((await closed(socket))[0], 1006);
  assert.equal((await reset).code, 'ECONNRESET');
  ok('each side notices that the other is gone');
}

async function rejection() {
  const socket = new WebSocket(`ws://${address}/reject`);
  const [, response] = await once(socket, 'unexpected-response', { signal: patience });
  assert.equal(response.statusCode, 401);
  assert.equal(response.headers['www-authenticate'], 'Basic realm="tea"');
  assert.equal(response.headers.upgrade, undefined);
  assert.match(Buffer.concat(await response.toArray()).toString(), /^who's it\?/);
  ok('the rejection of the server arrives whole');
}

async function multiplexed() {
  const session = http2.connect(`http://${address}`);
  const [settings] = await once(session, 'remoteSettings', { signal: patience });
  assert.equal(settings.enableConnectProtocol, true);
  const before = await ended();
  await Promise.all(Array.from({ length: 10 }, () => exchange(session)));
  assert.deepEqual((await ended()).slice(before.length), Array(10).fill(4000));
  const rejected = connect(session, '/reject');
  const [headers] = await once(rejected, 'response', { signal: patience });
  assert.equal(headers[':status'], 401);
  assert.match(Buffer.concat(await rejected.toArray()).toString(), /^who's it\?/);
  rejected.end();
  session.close();
  await once(session, 'close', { signal: patience });
  ok('ten WebSockets in one connection of HTTP/2, and a rejection');
}

async function resets() {
  const session = http2.connect(`http://${address}`);
  const before = await ended();
  const left = connect(session, '/ws');
  await once(left, 'response', { signal: patience });
  left.close(http2.constants.NGHTTP2_CANCEL);
  assert.deepEqual((await ended()).slice(before.length), [1006]);

  const broken = connect(session, '/terminate');
  await once(broken, 'response', { signal: patience });
  new Sender(broken, {}).send('now', { fin: true, binary: false, mask: true, compress: false });
  // hyper ends the stream in place of a reset. It has to end without a close frame.
  assert.deepEqual(await broken.toArray(), []);
  broken.end();
  session.close();
  await once(session, 'close', { signal: patience });
  ok('a reset of a stream, and of the connection to the server');
}

function connect(session, path) {
  return session.request({
    ':method': 'CONNECT', ':protocol': 'websocket', ':scheme': 'http', ':authority': address,
    ':path': path, 'sec-websocket-version': '13', 'sec-websocket-protocol': 'first, second',
  });
}

async function exchange(session) {
  const stream = connect(session, '/ws');
  const [headers] = await once(stream, 'response', { signal: patience });
  assert.equal(headers[':status'], 200);
  assert.equal(headers['sec-websocket-protocol'], 'second');
  for (const name of ['connection', 'upgrade', 'sec-websocket-accept']) {
    assert.equal(headers[name], undefined, name);
  }
  const sender = new Sender(stream, {});
  const receiver = stream.pipe(new Receiver({ maxPayload: 32 << 20 }));
  for (const message of ['text', '', Buffer.from([0, 255, 128]), Buffer.alloc(1 << 20, 'x')]) {
    const binary = Buffer.isBuffer(message);
    sender.send(message, { fin: true, binary, mask: true, compress: false });
    const [data, isBinary] = await once(receiver, 'message', { signal: patience });
    assert.deepEqual(isBinary ? data : data.toString(), message);
  }
  sender.close(4000, 'enough', true);
  assert.equal((await once(receiver, 'conclude', { signal: patience }))[0], 4000);
  stream.end();
  await once(stream, 'close', { signal: patience });
  assert.equal(stream.rstCode, http2.constants.NGHTTP2_NO_ERROR);
}

// The tunnel is told to end.
async function shutdown() {
  const before = await ended();
  const clients = await Promise.all(Array.from({ length: 5 }, () => open('/ws')));
  const codes = clients.map(closed);
  process.kill(Number(tunnel), 'SIGINT');
  assert.deepEqual(await Promise.all(codes), Array(5).fill([1001, '']));
  assert.deepEqual((await ended(upstream)).slice(before.length), Array(5).fill(1001));
  ok('a graceful shutdown of the tunnel reaches the clients, and then the server, as 1001');
}

async function main() {
  await negotiation();
  await closes();
  await breaks();
  await rejection();
  await multiplexed();
  await resets();
  await shutdown();
}

// Node would end well, too, when nothing is left to wait for.
process.exitCode = 1;
main().then(() => { process.exitCode = 0; }, (error) => {
  console.error('FAILED:', error);
  process.exit(1);
});
