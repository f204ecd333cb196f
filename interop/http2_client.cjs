// Extended CONNECT by Node's `http2`, with the frames of `ws`.

const assert = require('node:assert/strict');
const http2 = require('node:http2');
const { once } = require('node:events');
const { Receiver, Sender } = require('ws');

const [address] = process.argv.slice(2);
const VERSION = { 'sec-websocket-version': '13' };

function connect(session, protocol, path, headers) {
  return session.request({
    ':method': 'CONNECT', ':protocol': protocol, ':scheme': 'http', ':authority': address,
    ':path': path, ...headers,
  });
}

async function websocket(session) {
  const stream = connect(session, 'websocket', '/ws', VERSION);
  const [headers] = await once(stream, 'response');
  assert.deepEqual(Object.keys(headers).sort(), [':status', 'date']);
  assert.equal(headers[':status'], 200);

  const sender = new Sender(stream, {});
  const receiver = stream.pipe(new Receiver({ maxPayload: 32 << 20 }));
  for (const message of ['text', 'grüß dich', '', Buffer.from([0, 255, 128]), Buffer.alloc(1 << 20, 'x')]) {
    const binary = Buffer.isBuffer(message);
    sender.send(message, { fin: true, binary, mask: true, compress: false });
    const [data, isBinary] = await once(receiver, 'message');
    assert.deepEqual(isBinary ? data : data.toString(), message);
  }
  sender.close(4000, 'enough', true);
  const [code] = await once(receiver, 'conclude');
  assert.equal(code, 4000);
  stream.end();
  await once(stream, 'close');
  assert.equal(stream.rstCode, http2.constants.NGHTTP2_NO_ERROR);
}

async function shout(session) {
  const stream = connect(session, 'shout/2', '/');
  const [headers] = await once(stream, 'response');
  assert.equal(headers[':status'], 200);
  stream.end('Hello');
  assert.equal(Buffer.concat(await stream.toArray()).toString(), 'HELLO');
}

async function page(session) {
  const stream = session.request({ ':path': '/' });
  assert.equal(Buffer.concat(await stream.toArray()).toString(), 'plain');
}

async function rejected(session, protocol, path, headers, status) {
  const stream = connect(session, protocol, path, headers);
  const [answer] = await once(stream, 'response');
  assert.equal(answer[':status'], status);
  // The answer is whole although the client's side is open.
  await stream.toArray();
  stream.end();
}

async function main() {
  const session = http2.connect(`http://${address}`);
  const [settings] = await once(session, 'remoteSettings');
  assert.equal(settings.enableConnectProtocol, true);
  const sockets = Array.from({ length: 10 }, () => websocket(session));
  await Promise.all([...sockets, shout(session), page(session),
    rejected(session, 'unheard-of', '/required', {}, 501),
    rejected(session, 'websocket', '/ws', { ...VERSION, origin: 'http://elsewhere.test' }, 403)]);
  session.close();
  await once(session, 'close');
  console.log("http2: Node's http2, 10 sockets beside other requests");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
