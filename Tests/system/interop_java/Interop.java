import com.google.protobuf.ByteString;
import grpc.testing.EmptyOuterClass.Empty;
import grpc.testing.Messages.BoolValue;
import grpc.testing.Messages.EchoStatus;
import grpc.testing.Messages.Payload;
import grpc.testing.Messages.ResponseParameters;
import grpc.testing.Messages.SimpleRequest;
import grpc.testing.Messages.SimpleResponse;
import grpc.testing.Messages.StreamingInputCallRequest;
import grpc.testing.Messages.StreamingInputCallResponse;
import grpc.testing.Messages.StreamingOutputCallRequest;
import grpc.testing.Messages.StreamingOutputCallResponse;
import grpc.testing.TestServiceGrpc;
import grpc.testing.UnimplementedServiceGrpc;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ClientInterceptors;
import io.grpc.ClientStreamTracer;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.ClientResponseObserver;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.StreamObserver;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;

/**
 * gRPC's interop cases with grpc-java on Netty, an HTTP/2 stack of its own. Prints a line for each case: "ok NAME", or
 * "failed NAME: REASON".
 *
 * <p>usage: Interop HOST:PORT
 */
public final class Interop {
    private static final int LARGE_REQUEST = 271828;
    private static final int LARGE_RESPONSE = 314159;
    private static final int[] REQUEST_SIZES = {27182, 8, 1828, 45904};
    private static final int[] RESPONSE_SIZES = {31415, 9, 2653, 58979};
    private static final Metadata.Key<String> INITIAL =
        Metadata.Key.of("x-grpc-test-echo-initial", Metadata.ASCII_STRING_MARSHALLER);
    private static final Metadata.Key<byte[]> TRAILING =
        Metadata.Key.of("x-grpc-test-echo-trailing-bin", Metadata.BINARY_BYTE_MARSHALLER);
    private static final byte[] TRAILING_VALUE = {(byte) 0xab, (byte) 0xab, (byte) 0xab};
    private static final long PATIENCE_SECONDS = 60;

    private final String address;
    private final ManagedChannel channel;

    private Interop(String address) {
        this.address = address;
        channel = connect();
    }

    private ManagedChannel connect() {
        return NettyChannelBuilder.forTarget(address).usePlaintext().build();
    }

    private TestServiceGrpc.TestServiceBlockingStub blocking(Channel over) {
        return TestServiceGrpc.newBlockingStub(over).withDeadlineAfter(PATIENCE_SECONDS, TimeUnit.SECONDS);
    }

    private TestServiceGrpc.TestServiceBlockingStub blocking() {
        return blocking(channel);
    }

    private TestServiceGrpc.TestServiceStub async() {
        return TestServiceGrpc.newStub(channel).withDeadlineAfter(PATIENCE_SECONDS, TimeUnit.SECONDS);
    }

    // What is checked

    private static void check(boolean holds, String what) {
        if (!holds) throw new AssertionError(what);
    }

    private static void checkBody(Payload payload, int size) {
        check(
            payload.getBody().equals(ByteString.copyFrom(new byte[size])),
            "a payload of " + payload.getBody().size() + " bytes; " + size + " asked for");
    }

    private static void checkCode(Throwable error, Status.Code code) {
        Status status = Status.fromThrowable(error);
        check(status.getCode() == code, "ended with " + status + "; " + code + " expected");
    }

    private interface Action {
        void run() throws Exception;
    }

    private static Throwable refused(Action action) {
        try {
            action.run();
        } catch (Exception error) {
            return error;
        }
        throw new AssertionError("not refused");
    }

    // Requests

    private static Payload payload(int size) {
        return Payload.newBuilder().setBody(ByteString.copyFrom(new byte[size])).build();
    }

    private static BoolValue bool(boolean value) {
        return BoolValue.newBuilder().setValue(value).build();
    }

    private static SimpleRequest.Builder large() {
        return SimpleRequest.newBuilder().setResponseSize(LARGE_RESPONSE).setPayload(payload(LARGE_REQUEST));
    }

    private static StreamingOutputCallRequest.Builder output(int... sizes) {
        StreamingOutputCallRequest.Builder request = StreamingOutputCallRequest.newBuilder();
        for (int size : sizes) request.addResponseParameters(ResponseParameters.newBuilder().setSize(size));
        return request;
    }

    private static StreamingInputCallRequest input(int size) {
        return StreamingInputCallRequest.newBuilder().setPayload(payload(size)).build();
    }

    /** The answers of a streaming call, then its end: a Throwable, or OK. */
    private static final class Answers<A, R> implements ClientResponseObserver<A, R> {
        final BlockingQueue<Object> events = new LinkedBlockingQueue<>();
        ClientCallStreamObserver<A> requests;

        @Override
        public void beforeStart(ClientCallStreamObserver<A> stream) {
            requests = stream;
        }

        @Override
        public void onNext(R value) {
            events.add(value);
        }

        @Override
        public void onError(Throwable error) {
            events.add(error);
        }

        @Override
        public void onCompleted() {
            events.add(Status.OK);
        }

        Object take() throws InterruptedException {
            Object event = events.poll(PATIENCE_SECONDS, TimeUnit.SECONDS);
            check(event != null, "nothing came");
            return event;
        }

        @SuppressWarnings("unchecked")
        R next() throws Exception {
            Object event = take();
            if (event instanceof Exception) throw (Exception) event;
            check(event != Status.OK, "the answers ended early");
            return (R) event;
        }

        void end() throws Exception {
            Object event = take();
            if (event instanceof Exception) throw (Exception) event;
            check(event == Status.OK, "an answer too many");
        }
    }

    private static <A, R> Answers<A, R> answers() {
        return new Answers<>();
    }

    /** How many bytes each message of a call was on the wire. */
    private static final class Compression extends ClientStreamTracer.Factory implements ClientInterceptor {
        final BlockingQueue<Long> sizes = new LinkedBlockingQueue<>();

        @Override
        public ClientStreamTracer newClientStreamTracer(ClientStreamTracer.StreamInfo info, Metadata headers) {
            return new ClientStreamTracer() {
                @Override
                public void inboundMessageRead(int number, long wireSize, long size) {
                    sizes.add(wireSize);
                }
            };
        }

        @Override
        public <A, R> ClientCall<A, R> interceptCall(MethodDescriptor<A, R> method, CallOptions options, Channel next) {
            return next.newCall(method, options.withStreamTracerFactory(this));
        }

        void check(int payload, boolean compressed) throws InterruptedException {
            Long came = sizes.poll(PATIENCE_SECONDS, TimeUnit.SECONDS);
            Interop.check(
                came != null && (came < payload) == compressed,
                payload + " bytes came as " + came + "; compressed: " + compressed + " was asked for");
        }
    }

    // The cases

    private void emptyUnary() {
        check(blocking().emptyCall(Empty.getDefaultInstance()).equals(Empty.getDefaultInstance()), "not empty");
    }

    private void cacheableUnary() {
        Metadata headers = new Metadata();
        headers.put(Metadata.Key.of("x-user-ip", Metadata.ASCII_STRING_MARSHALLER), "1.2.3.4");
        headers.put(Metadata.Key.of("cache-control", Metadata.ASCII_STRING_MARSHALLER), "max-age=60");
        SimpleRequest request = SimpleRequest.newBuilder().setResponseSize(128).setPayload(payload(10)).build();
        // The case asks for the method to be marked as safe to repeat, which the proto does not do.
        MethodDescriptor<SimpleRequest, SimpleResponse> safe =
            TestServiceGrpc.getCacheableUnaryCallMethod().toBuilder().setSafe(true).build();
        Channel marked = ClientInterceptors.intercept(channel, MetadataUtils.newAttachHeadersInterceptor(headers));
        CallOptions options = CallOptions.DEFAULT.withDeadlineAfter(PATIENCE_SECONDS, TimeUnit.SECONDS);
        SimpleResponse first = ClientCalls.blockingUnaryCall(marked, safe, options, request);
        checkBody(first.getPayload(), 128);
        check(first.equals(ClientCalls.blockingUnaryCall(marked, safe, options, request)), "the second answer differs");
    }

    private void largeUnary() {
        checkBody(blocking().unaryCall(large().build()).getPayload(), LARGE_RESPONSE);
    }

    private void clientCompressedUnary() {
        SimpleRequest probe = large().setExpectCompressed(bool(true)).build();
        checkCode(refused(() -> blocking().unaryCall(probe)), Status.Code.INVALID_ARGUMENT);
        checkBody(blocking().withCompression("gzip").unaryCall(probe).getPayload(), LARGE_RESPONSE);
        SimpleRequest plain = large().setExpectCompressed(bool(false)).build();
        checkBody(blocking().unaryCall(plain).getPayload(), LARGE_RESPONSE);
    }

    private void serverCompressedUnary() throws Exception {
        for (boolean compressed : new boolean[] {true, false}) {
            Compression seen = new Compression();
            SimpleRequest request = large().setResponseCompressed(bool(compressed)).build();
            SimpleResponse answer = blocking().withInterceptors(seen).unaryCall(request);
            checkBody(answer.getPayload(), LARGE_RESPONSE);
            seen.check(LARGE_RESPONSE, compressed);
        }
    }

    private void clientStreaming() throws Exception {
        Answers<StreamingInputCallRequest, StreamingInputCallResponse> answers = answers();
        StreamObserver<StreamingInputCallRequest> requests = async().streamingInputCall(answers);
        for (int size : REQUEST_SIZES) requests.onNext(input(size));
        requests.onCompleted();
        int sum = answers.next().getAggregatedPayloadSize();
        check(sum == 74922, "the sum is " + sum);
        answers.end();
    }

    private void clientCompressedStreaming() throws Exception {
        StreamingInputCallRequest probe = input(27182).toBuilder().setExpectCompressed(bool(true)).build();
        Answers<StreamingInputCallRequest, StreamingInputCallResponse> refusal = answers();
        // No half-close: the server has to end the call on its own.
        async().streamingInputCall(refusal).onNext(probe);
        checkCode(refused(refusal::next), Status.Code.INVALID_ARGUMENT);
        Answers<StreamingInputCallRequest, StreamingInputCallResponse> answers = answers();
        StreamObserver<StreamingInputCallRequest> requests =
            async().withCompression("gzip").streamingInputCall(answers);
        answers.requests.setMessageCompression(true);
        requests.onNext(probe);
        answers.requests.setMessageCompression(false);
        requests.onNext(input(45904).toBuilder().setExpectCompressed(bool(false)).build());
        requests.onCompleted();
        int sum = answers.next().getAggregatedPayloadSize();
        check(sum == 73086, "the sum is " + sum);
        answers.end();
    }

    private void serverStreaming() {
        Iterator<StreamingOutputCallResponse> answers = blocking().streamingOutputCall(output(RESPONSE_SIZES).build());
        for (int size : RESPONSE_SIZES) checkBody(answers.next().getPayload(), size);
        check(!answers.hasNext(), "an answer too many");
    }

    private void serverCompressedStreaming() throws Exception {
        StreamingOutputCallRequest.Builder request = output(31415, 92653);
        request.getResponseParametersBuilder(0).setCompressed(bool(true));
        request.getResponseParametersBuilder(1).setCompressed(bool(false));
        Compression seen = new Compression();
        Iterator<StreamingOutputCallResponse> answers =
            blocking().withInterceptors(seen).streamingOutputCall(request.build());
        checkBody(answers.next().getPayload(), 31415);
        checkBody(answers.next().getPayload(), 92653);
        check(!answers.hasNext(), "an answer too many");
        seen.check(31415, true);
        seen.check(92653, false);
    }

    private void pingPong() throws Exception {
        Answers<StreamingOutputCallRequest, StreamingOutputCallResponse> answers = answers();
        StreamObserver<StreamingOutputCallRequest> requests = async().fullDuplexCall(answers);
        for (int index = 0; index < RESPONSE_SIZES.length; index++) {
            requests.onNext(output(RESPONSE_SIZES[index]).setPayload(payload(REQUEST_SIZES[index])).build());
            checkBody(answers.next().getPayload(), RESPONSE_SIZES[index]);
        }
        requests.onCompleted();
        answers.end();
    }

    private void emptyStream() throws Exception {
        Answers<StreamingOutputCallRequest, StreamingOutputCallResponse> answers = answers();
        async().fullDuplexCall(answers).onCompleted();
        answers.end();
    }

    private void halfDuplex() throws Exception {
        Answers<StreamingOutputCallRequest, StreamingOutputCallResponse> answers = answers();
        StreamObserver<StreamingOutputCallRequest> requests = async().halfDuplexCall(answers);
        for (int size : RESPONSE_SIZES) requests.onNext(output(size).build());
        requests.onCompleted();
        for (int size : RESPONSE_SIZES) checkBody(answers.next().getPayload(), size);
        answers.end();
    }

    private void customMetadata() throws Exception {
        Metadata sent = new Metadata();
        sent.put(INITIAL, "test_initial_metadata_value");
        sent.put(TRAILING, TRAILING_VALUE);
        AtomicReference<Metadata> headers = new AtomicReference<>();
        AtomicReference<Metadata> trailers = new AtomicReference<>();
        ClientInterceptor[] echo = {
            MetadataUtils.newAttachHeadersInterceptor(sent),
            MetadataUtils.newCaptureMetadataInterceptor(headers, trailers)
        };
        checkBody(blocking().withInterceptors(echo).unaryCall(large().build()).getPayload(), LARGE_RESPONSE);
        checkEcho(headers.get(), trailers.get());
        Answers<StreamingOutputCallRequest, StreamingOutputCallResponse> answers = answers();
        StreamObserver<StreamingOutputCallRequest> requests = async().withInterceptors(echo).fullDuplexCall(answers);
        requests.onNext(output(LARGE_RESPONSE).setPayload(payload(LARGE_REQUEST)).build());
        requests.onCompleted();
        checkBody(answers.next().getPayload(), LARGE_RESPONSE);
        answers.end();
        checkEcho(headers.get(), trailers.get());
    }

    private static void checkEcho(Metadata headers, Metadata trailers) {
        check("test_initial_metadata_value".equals(headers.get(INITIAL)), "initial metadata " + headers);
        byte[] bytes = trailers.get(TRAILING);
        check(Arrays.equals(bytes, TRAILING_VALUE), "trailing " + trailers);
    }

    private static void checkUnknown(Throwable error, String message) {
        checkCode(error, Status.Code.UNKNOWN);
        String came = Status.fromThrowable(error).getDescription();
        check(message.equals(came), "the message is \"" + came + "\"");
    }

    private void statusCodeAndMessage() throws Exception {
        String message = "test status message";
        EchoStatus status = EchoStatus.newBuilder().setCode(2).setMessage(message).build();
        SimpleRequest request = SimpleRequest.newBuilder().setResponseStatus(status).build();
        checkUnknown(refused(() -> blocking().unaryCall(request)), message);
        Answers<StreamingOutputCallRequest, StreamingOutputCallResponse> answers = answers();
        StreamObserver<StreamingOutputCallRequest> requests = async().fullDuplexCall(answers);
        requests.onNext(output().setResponseStatus(status).build());
        checkUnknown(refused(answers::next), message);
    }

    private void specialStatusMessage() {
        String message = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \ud83d\ude08\t\n";
        EchoStatus status = EchoStatus.newBuilder().setCode(2).setMessage(message).build();
        SimpleRequest request = SimpleRequest.newBuilder().setResponseStatus(status).build();
        checkUnknown(refused(() -> blocking().unaryCall(request)), message);
    }

    private void unimplementedMethod() {
        checkCode(refused(() -> blocking().unimplementedCall(Empty.getDefaultInstance())), Status.Code.UNIMPLEMENTED);
    }

    private void unimplementedService() {
        UnimplementedServiceGrpc.UnimplementedServiceBlockingStub other =
            UnimplementedServiceGrpc.newBlockingStub(channel).withDeadlineAfter(PATIENCE_SECONDS, TimeUnit.SECONDS);
        checkCode(refused(() -> other.unimplementedCall(Empty.getDefaultInstance())), Status.Code.UNIMPLEMENTED);
    }

    private void cancelAfterBegin() {
        Answers<StreamingInputCallRequest, StreamingInputCallResponse> answers = answers();
        async().streamingInputCall(answers);
        answers.requests.cancel("as the case asks", null);
        checkCode(refused(answers::next), Status.Code.CANCELLED);
    }

    private void cancelAfterFirstResponse() throws Exception {
        Answers<StreamingOutputCallRequest, StreamingOutputCallResponse> answers = answers();
        StreamObserver<StreamingOutputCallRequest> requests = async().fullDuplexCall(answers);
        requests.onNext(output(31415).setPayload(payload(27182)).build());
        checkBody(answers.next().getPayload(), 31415);
        answers.requests.cancel("as the case asks", null);
        checkCode(refused(answers::next), Status.Code.CANCELLED);
    }

    private void timeoutOnSleepingServer() {
        Answers<StreamingOutputCallRequest, StreamingOutputCallResponse> answers = answers();
        StreamObserver<StreamingOutputCallRequest> requests =
            TestServiceGrpc.newStub(channel).withDeadlineAfter(1, TimeUnit.MILLISECONDS).fullDuplexCall(answers);
        StreamingOutputCallRequest.Builder slow = output(31415).setPayload(payload(27182));
        slow.getResponseParametersBuilder(0).setIntervalUs(10_000_000);
        try {
            requests.onNext(slow.build());
        } catch (IllegalStateException alreadyOver) {
            // The deadline may pass before the request is sent.
        }
        checkCode(refused(answers::next), Status.Code.DEADLINE_EXCEEDED);
    }

    private void slowConsumer() throws Exception {
        int[] sizes = new int[2000];
        Arrays.fill(sizes, 1030);
        Iterator<StreamingOutputCallResponse> answers = blocking().streamingOutputCall(output(sizes).build());
        int count = 0;
        while (answers.hasNext()) {
            checkBody(answers.next().getPayload(), 1030);
            // The case reads one in 20 ms throughout; its first quarter second fills every window.
            if (++count <= 50) Thread.sleep(5);
        }
        check(count == 2000, count + " messages; 2000 asked for");
    }

    private void concurrentLargeUnary() throws Exception {
        TestServiceGrpc.TestServiceFutureStub stub =
            TestServiceGrpc.newFutureStub(channel).withDeadlineAfter(PATIENCE_SECONDS, TimeUnit.SECONDS);
        SimpleRequest request = large().build();
        List<Future<SimpleResponse>> calls = new ArrayList<>();
        for (int number = 0; number < 200; number++) calls.add(stub.unaryCall(request));
        for (Future<SimpleResponse> call : calls) checkBody(call.get().getPayload(), LARGE_RESPONSE);
    }

    private void rpcSoak() {
        for (int iteration = 0; iteration < 100; iteration++) largeUnary();
    }

    private void channelSoak() {
        for (int iteration = 0; iteration < 20; iteration++) {
            ManagedChannel other = connect();
            try {
                checkBody(blocking(other).unaryCall(large().build()).getPayload(), LARGE_RESPONSE);
            } finally {
                other.shutdownNow();
            }
        }
    }

    private Map<String, Action> cases() {
        Map<String, Action> cases = new LinkedHashMap<>();
        cases.put("empty_unary", this::emptyUnary);
        cases.put("cacheable_unary", this::cacheableUnary);
        cases.put("large_unary", this::largeUnary);
        cases.put("client_compressed_unary", this::clientCompressedUnary);
        cases.put("server_compressed_unary", this::serverCompressedUnary);
        cases.put("client_streaming", this::clientStreaming);
        cases.put("client_compressed_streaming", this::clientCompressedStreaming);
        cases.put("server_streaming", this::serverStreaming);
        cases.put("server_compressed_streaming", this::serverCompressedStreaming);
        cases.put("ping_pong", this::pingPong);
        cases.put("empty_stream", this::emptyStream);
        cases.put("half_duplex", this::halfDuplex);
        cases.put("custom_metadata", this::customMetadata);
        cases.put("status_code_and_message", this::statusCodeAndMessage);
        cases.put("special_status_message", this::specialStatusMessage);
        cases.put("unimplemented_method", this::unimplementedMethod);
        cases.put("unimplemented_service", this::unimplementedService);
        cases.put("cancel_after_begin", this::cancelAfterBegin);
        cases.put("cancel_after_first_response", this::cancelAfterFirstResponse);
        cases.put("timeout_on_sleeping_server", this::timeoutOnSleepingServer);
        cases.put("slow_consumer", this::slowConsumer);
        cases.put("concurrent_large_unary", this::concurrentLargeUnary);
        cases.put("rpc_soak", this::rpcSoak);
        cases.put("channel_soak", this::channelSoak);
        return cases;
    }

    public static void main(String[] arguments) {
        if (arguments.length != 1) {
            System.err.println("usage: Interop HOST:PORT");
            System.exit(2);
        }
        Interop interop = new Interop(arguments[0]);
        interop.cases().forEach((name, run) -> {
            try {
                run.run();
                System.out.println("ok " + name);
            } catch (Throwable failure) {
                System.out.println("failed " + name + ": " + failure);
            }
        });
        interop.channel.shutdownNow();
        System.exit(0);
    }
}
