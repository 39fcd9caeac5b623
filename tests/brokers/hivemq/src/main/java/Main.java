import com.hivemq.embedded.EmbeddedHiveMQ;
import java.nio.file.Path;

/** HiveMQ CE in this process: configuration, data and extensions folder are the arguments. */
public final class Main {
    public static void main(final String[] folders) throws Exception {
        final EmbeddedHiveMQ broker = EmbeddedHiveMQ.builder()
                .withConfigurationFolder(Path.of(folders[0]))
                .withDataFolder(Path.of(folders[1]))
                .withExtensionsFolder(Path.of(folders[2]))
                .build();
        broker.start().join();
        Thread.currentThread().join();
    }
}
