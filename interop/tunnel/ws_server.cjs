// A server with Node's `ws`: the upstream of a tunnel.
//
// `/ws` echoes, `/bye` closes, `/terminate` answers a message with a reset, `/reject` is answered with 401, and
// `/ended` tells how many WebSockets are open, and the close codes of the others.

const http = require('node:http');
const { WebSocketServer } = require('ws');

const codes = [];
const sockets = new WebSocketServer({
  noServer: true,
  perMessageDeflate: { threshold: 0 },
  handleProtocols: (offered) => (offered.has('second') ? 'second' : false),
});
const server = http.createServer((request, response) => {
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ open: sockets.clients.size, codes }));
});
server.on('upgrade', (request, socket, head) => {
  const path = new URL(request.url, 'http://localhost').pathname;
  if (path === '/reject') {
    const headers = 'WWW-Authenticate: Basic realm="tea"\r\nContent-Length: 9\r\nConnection: close';
    socket.end(`HTTP/1.1 401 Unauthorized\r\n${headers}\r\n\r\nwho's it?`);
    return;
  }
  sockets.handleUpgrade(request, socket, head, (client) => {
    client.on('close', (code) => codes.push(code));
    client.on('error', () => {});
    if (path === '/bye') client.close(4001, 'bye');
    else if (path === '/terminate') client.on('message', () => socket.resetAndDestroy());
    else client.on('message', (data, binary) => client.send(data, { binary }));
  });
});
server.listen(0, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
