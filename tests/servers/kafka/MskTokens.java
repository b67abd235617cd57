import java.io.IOException;
import java.net.URI;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.*;
import javax.security.auth.callback.*;
import javax.security.auth.login.AppConfigurationEntry;
import org.apache.kafka.common.security.auth.AuthenticateCallbackHandler;
import org.apache.kafka.common.security.oauthbearer.*;

/** Takes a token as Amazon MSK's brokers do, but for the signature, which only AWS can prove: test_msk.py does it. */
public class MskTokens implements AuthenticateCallbackHandler {
    private static final DateTimeFormatter TIME =
        DateTimeFormatter.ofPattern("yyyyMMdd'T'HHmmss'Z'").withZone(ZoneOffset.UTC);

    public void configure(Map<String, ?> configs, String mechanism, List<AppConfigurationEntry> entries) { }

    public void close() { }

    public void handle(Callback[] callbacks) throws IOException, UnsupportedCallbackException {
        for (Callback callback : callbacks) {
            if (callback instanceof OAuthBearerValidatorCallback) {
                validate((OAuthBearerValidatorCallback) callback);
            } else if (!(callback instanceof OAuthBearerExtensionsValidatorCallback)) {
                throw new UnsupportedCallbackException(callback);
            }
        }
    }

    private static void validate(OAuthBearerValidatorCallback callback) {
        try {
            URI url = URI.create(new String(Base64.getUrlDecoder().decode(callback.tokenValue()), StandardCharsets.UTF_8));
            Map<String, String> query = new HashMap<>();
            for (String part : url.getRawQuery().split("&")) {
                String[] pair = part.split("=", 2);
                query.put(pair[0], URLDecoder.decode(pair[1], StandardCharsets.UTF_8));
            }
            String[] credential = query.get("X-Amz-Credential").split("/");
            long signed = Instant.from(TIME.parse(query.get("X-Amz-Date"))).toEpochMilli();
            long end = signed + 1000 * Long.parseLong(query.get("X-Amz-Expires"));
            if (!url.getHost().equals("kafka.eu-central-1.amazonaws.com") || !credential[2].equals("eu-central-1")
                    || !credential[3].equals("kafka-cluster") || !query.get("Action").equals("kafka-cluster:Connect")
                    || query.get("X-Amz-Signature").length() != 64 || end < System.currentTimeMillis()) {
                throw new IllegalArgumentException("not for this cluster");
            }
            callback.token(new OAuthBearerToken() {
                public String value() { return callback.tokenValue(); }
                public Set<String> scope() { return Set.of(); }
                public long lifetimeMs() { return end; }
                public String principalName() { return credential[0]; }
                public Long startTimeMs() { return signed; }
            });
        } catch (RuntimeException wrong) {
            callback.error("invalid_token", null, null);
        }
    }
}
