// Inspect pictures with the inspect.onnx of a release, in C# with ONNX Runtime alone.
// dotnet run --project InspectPicture -- inspect.onnx PICTURE...   (PPM or PGM, 8 bits)
using System.Globalization;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

string[] decisions = { "good", "review", "defect" };
string[] outputs = { "score", "decision", "displayed" };
if (args.Length < 2)
{
    Console.Error.WriteLine("give inspect.onnx and pictures");
    return 3;
}
using var options = new SessionOptions { LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR };
using var session = new InferenceSession(args[0], options);
long worst = 0;
foreach (var path in args[1..])
{
    // "threshold", a double without dimensions, may be given as well
    var inputs = new[] { NamedOnnxValue.CreateFromTensor("image", Read(path)) };
    using var found = session.Run(inputs, outputs);
    var score = found[0].AsTensor<double>().First();
    var decision = found[1].AsTensor<long>().First();
    var displayed = found[2].AsTensor<double>().First();
    Console.WriteLine(FormattableString.Invariant(
        $"{path}: {decisions[decision]} {score:R} {displayed:F1}"));
    worst = Math.Max(worst, decision);
}
return (int)worst; // 0: all good, 1: one to look at, 2: a defect

// Pixels (height, width, channels), row by row, the channels of a pixel side by side.
static DenseTensor<byte> Read(string path)
{
    var content = File.ReadAllBytes(path);
    var (at, words) = (0, new List<string>());
    while (words.Count < 4) // kind, width, height, largest value; then one white space
    {
        var begun = at;
        while (!char.IsWhiteSpace((char)content[at])) at++;
        if (at > begun) words.Add(System.Text.Encoding.ASCII.GetString(content, begun, at - begun));
        at++;
    }
    if (words[0] is not ("P5" or "P6") || words[3] != "255")
        throw new InvalidDataException($"{path}: give a PGM or PPM of 8 bits");
    int[] shape = {
        int.Parse(words[2], CultureInfo.InvariantCulture),
        int.Parse(words[1], CultureInfo.InvariantCulture),
        words[0] == "P6" ? 3 : 1,
    };
    var size = shape[0] * shape[1] * shape[2];
    return new DenseTensor<byte>(content.AsMemory(at, size), shape);
}
