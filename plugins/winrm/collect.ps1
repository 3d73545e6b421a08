$ProgressPreference='SilentlyContinue'
$w=New-Object IO.StreamWriter([Console]::OpenStandardOutput(),(New-Object Text.UTF8Encoding $false))
$w.AutoFlush=$true
function V($v){if($v -is [datetime]){$v.ToUniversalTime().ToString('o')}else{$v}}
function C{
$d=@{}
$e=@()
foreach($q in $queries){
foreach($s in $q[1],$q[3]){
if(!$s -or $d[$q[0]]){continue}
try{
$found=Get-CimInstance -Query $s -OperationTimeoutSec 15 -ErrorAction Stop
$d[$q[0]]=@($found|%{$i=$_;$o=@{};foreach($p in $q[2].Split(',')){$o[$p]=V $i.$p};$o})
}catch{
$e+=$q[0]+': '+$_.Exception.Message
}
}
}
@{rows=$d;errors=$e;memory=[Environment]::WorkingSet}|ConvertTo-Json -Compress -Depth 5
}
