import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.Proxy;
import java.net.ProxySelector;
import java.net.URI;

/** Prints "direct" or "proxy" for each line "URL, tab, value of http.nonProxyHosts"; connects to nothing. */
public class NonProxyHosts {
    public static void main(String[] arguments) throws Exception {
        for (String scheme : new String[] {"http", "https"}) {
            System.setProperty(scheme + ".proxyHost", "127.0.0.1");
            System.setProperty(scheme + ".proxyPort", "3128");
        }
        BufferedReader cases = new BufferedReader(new InputStreamReader(System.in));
        for (String line = cases.readLine(); line != null; line = cases.readLine()) {
            String[] fields = line.split("\t", -1);
            System.setProperty("http.nonProxyHosts", fields[1]);
            Proxy proxy = ProxySelector.getDefault().select(new URI(fields[0])).get(0);
            System.out.println(proxy.type() == Proxy.Type.DIRECT ? "direct" : "proxy");
        }
    }
}
