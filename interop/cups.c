// Connects by libcups, which demands encryption, and prints the answers to two requests.

#include <cups/cups.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  const char *paths[] = {"/one", "/two"};
  if (argc != 3) return 2;
  http_t *http = httpConnect2(argv[1], atoi(argv[2]), NULL, AF_UNSPEC, HTTP_ENCRYPTION_REQUIRED, 1,
                              10000, NULL);
  if (!http) {
    printf("no connection: %s\n", cupsLastErrorString());
    return 1;
  }
  for (int i = 0; i < 2; i++) {
    httpClearFields(http);
    if (httpGet(http, paths[i])) return 1;
    http_status_t status;
    while ((status = httpUpdate(http)) == HTTP_STATUS_CONTINUE) {}
    char text[1000];
    ssize_t length = 0, read;
    while ((read = httpRead2(http, text + length, sizeof(text) - 1 - length)) > 0) length += read;
    text[length] = 0;
    printf("%s %d %s", httpIsEncrypted(http) ? "encrypted" : "in clear", status, text);
  }
  httpClose(http);
  return 0;
}
