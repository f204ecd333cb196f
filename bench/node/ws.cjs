// The server of Node's `ws`: `GET /` answers `plain`, and a WebSocket at `/ws` echoes messages.
const http = require('node:http');
const { WebSocketServer } = require('ws');

const server = http.createServer((request, response) => {
  response.writeHead(200, { 'Content-Length': 5 });
  response.end('plain');
});
const sockets = new WebSocketServer({ server, path: '/ws' });
sockets.on('connection', (socket) => {
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  socket.on('error', () => {});
});
// 10,000 clients of a benchmark come faster than they are accepted.
server.listen({ host: '127.0.0.1', port: 0, backlog: 1024 }, () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
// The end of the input is the end of the program.
process.stdin.on('end', () => process.exit(0)).resume();
