import java.io.ByteArrayInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/** The client of the JDK, which offers h2c with every first request. Prints "ok", or what went wrong. */
public class H2cClient {
    private static String url;

    public static void main(String[] arguments) throws Exception {
        url = arguments[0];
        if (arguments.length > 1) {
            uploads(Integer.parseInt(arguments[1]));
            System.out.println("ok");
            return;
        }

        // A client of its own has a connection of its own, and so an upgrade of its own.
        check("GET", "/get", BodyPublishers.noBody(), HttpClient.Version.HTTP_2, 0);
        check("POST", "/empty", BodyPublishers.ofString(""), HttpClient.Version.HTTP_2, 0);
        check("POST", "/string", BodyPublishers.ofString("hello"), HttpClient.Version.HTTP_2, 5);
        byte[] most = new byte[65_536];
        check("POST", "/limit", BodyPublishers.ofByteArray(most), HttpClient.Version.HTTP_2, 65_536);
        // Of unknown length.
        BodyPublisher streamed = BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(most));
        check("POST", "/streamed", streamed, HttpClient.Version.HTTP_2, 65_536);
        // Above the limit: HTTP/1.1, and whole.
        byte[] more = new byte[65_537];
        check("POST", "/above", BodyPublishers.ofByteArray(more), HttpClient.Version.HTTP_1_1, 65_537);

        // On a connection that is upgraded, everything is HTTP/2, streamed bodies too.
        HttpClient client = HttpClient.newHttpClient();
        check(client, "GET", "/first", BodyPublishers.noBody(), HttpClient.Version.HTTP_2, 0);
        check(client, "POST", "/then", streamed, HttpClient.Version.HTTP_2, 65_536);
        parallel(client, 200);
        // And on connections that are all new.
        parallel(HttpClient.newHttpClient(), 200);
        System.out.println("ok");
    }

    /** Uploads 8 MB behind an upgrade with a body, each time on a connection of its own. */
    private static void uploads(int runs) throws Exception {
        byte[] eight = new byte[8 << 20];
        for (int run = 0; run < runs; run++) {
            HttpClient client = HttpClient.newHttpClient();
            check(client, "POST", "/one", BodyPublishers.ofString("x"), HttpClient.Version.HTTP_2, 1);
            for (String path : List.of("/two", "/three")) {
                BodyPublisher body = BodyPublishers.ofByteArray(eight);
                check(client, "POST", path, body, HttpClient.Version.HTTP_2, eight.length);
            }
        }
    }

    private static void check(
            String method, String path, BodyPublisher body, HttpClient.Version version, int bytes)
            throws Exception {
        check(HttpClient.newHttpClient(), method, path, body, version, bytes);
    }

    private static void check(
            HttpClient client,
            String method,
            String path,
            BodyPublisher body,
            HttpClient.Version version,
            int bytes)
            throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(url + path)).method(method, body).build();
        verify(client.send(request, BodyHandlers.ofString()), method, path, version, bytes);
    }

    private static void parallel(HttpClient client, int requests) {
        List<CompletableFuture<Void>> all = new ArrayList<>();
        for (int i = 0; i < requests; i++) {
            String path = "/parallel/" + i;
            HttpRequest request = HttpRequest.newBuilder(URI.create(url + path)).build();
            all.add(client.sendAsync(request, BodyHandlers.ofString())
                    .thenAccept(response -> verify(response, "GET", path, HttpClient.Version.HTTP_2, 0)));
        }
        all.forEach(CompletableFuture::join);
    }

    private static void verify(
            HttpResponse<String> response,
            String method,
            String path,
            HttpClient.Version version,
            int bytes) {
        String name = version == HttpClient.Version.HTTP_2 ? "HTTP/2.0" : "HTTP/1.1";
        String expected = method + " " + path + " " + name + " " + bytes + "\n";
        if (response.statusCode() != 200
                || response.version() != version
                || !response.body().equals(expected)) {
            throw new AssertionError("expected " + expected + ", got " + response.version() + " "
                    + response.statusCode() + " " + response.body());
        }
    }
}
