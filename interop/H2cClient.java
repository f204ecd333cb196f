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

        // A client of its own has a connection of its own, and so an upgrade of its own.
        check("GET", "/get", BodyPublishers.noBody(), HttpClient.Version.HTTP_2, 0);
        check("POST", "/empty", BodyPublishers.ofString(""), HttpClient.Version.HTTP_2, 0);
        check("POST", "/string", BodyPublishers.ofString("hello"), HttpClient.Version.HTTP_2, 5);
        byte[] octets = new byte[65_535];
        check("POST", "/limit", BodyPublishers.ofByteArray(octets), HttpClient.Version.HTTP_2, 65_535);
        // Above the limit, and of unknown length: HTTP/1.1, and whole.
        byte[] more = new byte[65_536];
        check("POST", "/above", BodyPublishers.ofByteArray(more), HttpClient.Version.HTTP_1_1, 65_536);
        BodyPublisher streamed = BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(more));
        check("POST", "/streamed", streamed, HttpClient.Version.HTTP_1_1, 65_536);

        // On a connection that is upgraded, everything is HTTP/2, streamed content too.
        HttpClient client = HttpClient.newHttpClient();
        check(client, "GET", "/first", BodyPublishers.noBody(), HttpClient.Version.HTTP_2, 0);
        check(client, "POST", "/then", streamed, HttpClient.Version.HTTP_2, 65_536);
        parallel(client, 200);
        // And on connections that are all new.
        parallel(HttpClient.newHttpClient(), 200);
        System.out.println("ok");
    }

    private static void check(
            String method, String path, BodyPublisher body, HttpClient.Version version, int octets)
            throws Exception {
        check(HttpClient.newHttpClient(), method, path, body, version, octets);
    }

    private static void check(
            HttpClient client,
            String method,
            String path,
            BodyPublisher body,
            HttpClient.Version version,
            int octets)
            throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(url + path)).method(method, body).build();
        verify(client.send(request, BodyHandlers.ofString()), method, path, version, octets);
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
            int octets) {
        String name = version == HttpClient.Version.HTTP_2 ? "HTTP/2.0" : "HTTP/1.1";
        String expected = method + " " + path + " " + name + " " + octets + "\n";
        if (response.statusCode() != 200
                || response.version() != version
                || !response.body().equals(expected)) {
            throw new AssertionError("expected " + expected + ", got " + response.version() + " "
                    + response.statusCode() + " " + response.body());
        }
    }
}
